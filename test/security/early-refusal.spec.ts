import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp, USER_PASSWORD } from '../support/test-app.js';
import { newSecret } from '../verification/secrets.js';
import { declaredRoutes, type DeclaredRoute, protectedRoutes, vacantPath } from './routes.js';

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

/** A connection over which a request is sent piece by piece. */
class Conversation {
  #received = '';
  #isClosed = false;
  readonly #socket: Socket;

  constructor(baseUrl: string) {
    this.#socket = connect({ host: '127.0.0.1', port: Number(new URL(baseUrl).port) });
    this.#socket.setEncoding('utf8').on('data', (chunk: string) => (this.#received += chunk));
    this.#socket.on('error', () => undefined).on('close', () => (this.#isClosed = true));
  }

  send(...lines: string[]): void {
    this.#socket.write(lines.join('\r\n'));
  }

  /** The next answer, or what else came up to `end`. */
  async receive(end: RegExp = /\}$/): Promise<string> {
    while (!end.test(this.#received)) {
      if (this.#isClosed)
        throw new Error(`The connection was closed after ${JSON.stringify(this.#received)}`);
      await new Promise((resolve) => void this.#socket.once('data', resolve).once('close', resolve));
    }
    const received = this.#received;
    this.#received = '';
    return received;
  }

  async closed(): Promise<void> {
    if (!this.#isClosed) await new Promise((resolve) => void this.#socket.once('close', resolve));
  }

  end(): void {
    this.#socket.destroy();
  }
}

describe('a caller is judged before the body is read', () => {
  let app: TestApp;
  let strangerToken: string;
  beforeAll(async () => {
    app = await TestApp.start();
    strangerToken = await tokenOf((await app.user()).username);
  });
  afterAll(() => app.stop());

  async function tokenOf(username: string): Promise<string> {
    const { body } = await app.anonymous.post('/auth/login', { username, password: USER_PASSWORD });
    return String(body['access_token']);
  }

  /** The head of a request whose body has yet to come. */
  function headOf(method: string, path: string, ...headers: string[]): string[] {
    return [`${method} ${path} HTTP/1.1`, 'Host: x', 'Content-Type: application/json', ...headers, '', ''];
  }

  /** The status answered to a request of whose body nothing is ever sent. */
  async function statusWithoutBody({ method, url }: DeclaredRoute, ...headers: string[]): Promise<number> {
    const conversation = new Conversation(app.anonymous.baseUrl);
    conversation.send(...headOf(method, vacantPath(url).slice(1), 'Content-Length: 1000', ...headers));
    const answer = await conversation.receive();
    conversation.end();
    return Number(answer.slice(9, 12));
  }

  const withBodies = () => protectedRoutes(app.app).filter(({ method }) => method !== 'GET');

  it('without a credential, or with two: refused on every route', async () => {
    for (const route of withBodies()) {
      const statuses = await Promise.all([
        statusWithoutBody(route),
        statusWithoutBody(route, 'X-Api-Key: none'),
        statusWithoutBody(route, 'X-Api-Key: none', 'Authorization: Bearer none'),
      ]);
      expect([route.action, statuses]).toEqual([route.action, [401, 401, 400]]);
    }
  });

  it('without the permission: refused on every route that asks for one, and audited', async () => {
    const asking = withBodies().filter(
      ({ access }) =>
        access.kind === 'permission' || (access.kind === 'permission_in_scope' && access.below === undefined),
    );
    for (const route of asking) {
      const status = await statusWithoutBody(route, `Authorization: Bearer ${strangerToken}`);
      expect([route.action, status]).toEqual([route.action, 403]);
    }
    const rows = await app.database.query('SELECT DISTINCT action FROM audit_logs WHERE NOT success');
    expect(rows.map(({ action }) => action as string)).toEqual(
      expect.arrayContaining(asking.map(({ action }) => action)),
    );
  });

  it('without ownership and permission: refused on every route that asks for either', async () => {
    const { id: keyId } = await app.apiKey();
    const ownKey = await app.apiKey(app.admin, { scopes: ['platform:api-keys:verify'] });
    const byStranger = `Authorization: Bearer ${strangerToken}`;
    const byOwnersKey = `X-Api-Key: ${ownKey.secret}`;
    const asking = withBodies().filter(({ access }) => access.kind === 'owner_or_permission');
    for (const route of asking) {
      const at = (id: unknown) => ({ ...route, url: route.url.replace(':id', String(id)) });
      const isOfKey = route.url.startsWith('/api/v1/api-keys/');
      const statuses = await Promise.all([
        statusWithoutBody(at(isOfKey ? keyId : 1), byStranger),
        statusWithoutBody(at(isOfKey ? keyId : 1), byOwnersKey),
        statusWithoutBody(at(999_999), byStranger),
        statusWithoutBody(at('abc'), byStranger),
        statusWithoutBody(at('9007199254740992'), byStranger),
      ]);
      expect([route.action, statuses]).toEqual([route.action, [403, 403, isOfKey ? 404 : 403, 422, 422]]);
    }
    expect(asking.map(({ action }) => action)).toEqual(
      expect.arrayContaining(['update_api_key', 'regenerate_api_key', 'set_user_password']),
    );
    const rows = await app.database.query('SELECT DISTINCT action FROM audit_logs WHERE NOT success');
    expect(rows.map(({ action }) => action as string)).toEqual(
      expect.arrayContaining(asking.map(({ action }) => action)),
    );
  });

  it('also where the address is no route, has another method, or is too long', async () => {
    const route = { ...declaredRoutes(app.app)[0]!, method: 'POST' };
    expect(await statusWithoutBody({ ...route, url: '/api/v1/nothing' })).toBe(404);
    expect(await statusWithoutBody({ ...route, url: '/api/v1/auth/me' })).toBe(405);
    expect(await statusWithoutBody({ ...route, url: `/api/v1/auth/login?${'a'.repeat(9_000)}` })).toBe(414);
    expect(await statusWithoutBody({ ...route, url: `/api/v1/auth/login?${'a&'.repeat(200)}` })).toBe(414);
  });

  it('and the connection goes on when no more than the route accepts was sent', async () => {
    for (const [sizes, body] of [
      ['Content-Length: 65536', 'x'.repeat(65_536)],
      ['Transfer-Encoding: chunked', `fff0\r\n${'x'.repeat(0xfff0)}\r\n0\r\n\r\n`],
    ] as const) {
      const conversation = new Conversation(app.anonymous.baseUrl);
      conversation.send(...headOf('POST', '/api/v1/users', sizes));
      expect(await conversation.receive()).toMatch(/^HTTP\/1.1 401 /);
      conversation.send(body, ...headOf('GET', '/api/v1/auth/me', `Authorization: Bearer ${strangerToken}`));
      expect(await conversation.receive()).toMatch(/^HTTP\/1.1 200 /);
      conversation.end();
    }
  });

  it('and the connection ends when more is announced or sent than the route accepts', async () => {
    const announced = new Conversation(app.anonymous.baseUrl);
    announced.send(...headOf('POST', '/api/v1/users', 'Content-Length: 65537'));
    expect(await announced.receive()).toMatch(/^HTTP\/1.1 401 .*\r\nconnection: close\r\n/is);
    await announced.closed();
    for (const [method, path, status, ...headers] of [
      ['POST', '/api/v1/users', 401],
      ['GET', '/api/v1/auth/me', 401],
      // Who is admitted, and whose body nobody reads.
      ['GET', '/api/v1/auth/me', 200, `Authorization: Bearer ${strangerToken}`],
    ] as const) {
      const sent = new Conversation(app.anonymous.baseUrl);
      sent.send(...headOf(method, path, 'Transfer-Encoding: chunked', ...headers));
      expect((await sent.receive()).slice(9, 12)).toBe(String(status));
      sent.send(`20000\r\n${'x'.repeat(0x20000)}\r\n`);
      await sent.closed();
    }
  });

  it('and a caller that expects 100-continue is asked to send the body only when it will be read', async () => {
    const expecting = (path: string, size: number, ...headers: string[]) => {
      const conversation = new Conversation(app.anonymous.baseUrl);
      conversation.send(
        ...headOf('POST', path, 'Expect: 100-continue', `Content-Length: ${size}`, ...headers),
      );
      return conversation;
    };
    const refused: [path: string, size: number, status: number][] = [
      ['/api/v1/users', 10, 401],
      ['/api/v1/nothing', 10, 404],
      ['/api/v1/auth/login', 65_537, 413],
    ];
    for (const [path, size, status] of refused) {
      const conversation = expecting(path, size);
      const answer = await conversation.receive();
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} .*\r\nconnection: close\r\n`, 'is'));
      await conversation.closed();
    }
    const body = JSON.stringify({ refresh_token: 'rt_of_nobody' });
    const admitted = expecting('/api/v1/auth/refresh', body.length);
    expect(await admitted.receive(/\r\n\r\n$/)).toBe(CONTINUE);
    admitted.send(body);
    const answer = await admitted.receive();
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
    expect(answer).not.toMatch(/connection: close/i);
    admitted.end();
  });

  it('and again when the body took long: what was taken away meanwhile does not count', async () => {
    const body = JSON.stringify({ key: newSecret() });
    const cases = [
      ['/api/v1/api-keys/verify', body, 'platform:api-keys:verify'],
      ['/api/v1/introspect', JSON.stringify({ token: newSecret() }), 'platform:api-keys:verify'],
      ['/api/v1/users', '{}', 'platform:users:create'],
    ] as const;
    for (const [path, late, permission] of cases) {
      const { id, username } = await app.user({ permissions: [permission] });
      const token = `Authorization: Bearer ${await tokenOf(username)}`;
      const conversation = new Conversation(app.anonymous.baseUrl);
      conversation.send(
        ...headOf('POST', path, 'Expect: 100-continue', `Content-Length: ${late.length}`, token),
      );
      expect(await conversation.receive(/\r\n\r\n$/)).toBe(CONTINUE);
      expect((await app.admin.put(`/users/${id}`, { permissions: [] })).status).toBe(200);
      app.clock.advanceSeconds(2);
      conversation.send(late);
      expect([path, (await conversation.receive()).slice(9, 12)]).toEqual([path, '403']);
      conversation.end();
    }
  });

  it('and on the data plane at once: a session that ended while the body arrived gets no verdict', async () => {
    const body = JSON.stringify({ key: newSecret() });
    for (const [path, late] of [
      ['/api/v1/api-keys/verify', body],
      ['/api/v1/api-keys/verify/batch', JSON.stringify({ requests: [{ key: newSecret() }] })],
      ['/api/v1/introspect', JSON.stringify({ token: newSecret() })],
    ] as const) {
      const { username } = await app.user({ permissions: ['platform:api-keys:verify'] });
      const token = await tokenOf(username);
      const conversation = new Conversation(app.anonymous.baseUrl);
      conversation.send(
        ...headOf(
          'POST',
          path,
          'Expect: 100-continue',
          `Content-Length: ${late.length}`,
          `Authorization: Bearer ${token}`,
        ),
      );
      expect(await conversation.receive(/\r\n\r\n$/)).toBe(CONTINUE);
      expect((await app.anonymous.withAccessToken(token).post('/auth/logout')).status).toBeLessThan(300);
      conversation.send(late);
      expect([path, (await conversation.receive()).slice(9, 12)]).toEqual([path, '401']);
      conversation.end();
    }
  });
});
