import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { logIn, TestApp, testEnvironment, USER_PASSWORD } from '../support/test-app.js';
import { type DescribedOperation, describedOperations } from './described-operations.js';
import { HOSTILE_BODIES, HOSTILE_FORMS, HOSTILE_QUERIES } from './hostile-inputs.js';
import { type DeclaredRoute, declaredRoutes, vacantPath, validBody } from './routes.js';

const KILOBYTE = 1_024;
const LARGEST_ANSWER = 64 * KILOBYTE;
const MOST_CPU_MS = { small: 25, large: 100 };
/** What a busy machine or a background job adds to one try, it does not add to each. */
const TRIES = 4;

interface HostileRequest {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
}

describe('no request costs much before it is allowed', () => {
  let reflected: TestApp;
  let app: AppProcess;
  let operations: Map<string, DescribedOperation>;
  let routes: DeclaredRoute[];
  const tokens = new Map<string, string>();
  let usedSeconds = 0;
  beforeAll(async () => {
    reflected = await TestApp.start();
    app = await AppProcess.start(testEnvironment(reflected.database.url));
    operations = new Map(describedOperations(reflected.app).map((each) => [each.action, each]));
    // A logout ends what the other routes are asked with.
    routes = declaredRoutes(reflected.app).filter(({ action }) => action !== 'logout');
    for (const permission of [
      '',
      ...new Set(routes.map(permissionOf).filter((each) => each !== undefined)),
    ]) {
      const { username } = await reflected.user({ permissions: permission === '' ? [] : [permission] });
      const { body } = await reflected.anonymous.post('/auth/login', { username, password: USER_PASSWORD });
      tokens.set(permission, String(body['access_token']));
    }
    usedSeconds = await cpuSeconds();
  });
  afterAll(async () => {
    await app.kill9();
    await reflected.stop();
  });

  /** CPU of all threads of the service; the one that answers requests is one of them. */
  async function cpuSeconds(): Promise<number> {
    const metrics = await app.anonymous.get('//metrics');
    return Number(/^process_cpu_seconds_total (\S+)/m.exec(metrics.text)?.[1]);
  }

  async function costOf(hostile: HostileRequest): Promise<{ cpuMs: number; status: number; size: number }> {
    const { status, size } = await send(app.baseUrl, hostile);
    const before = usedSeconds;
    usedSeconds = await cpuSeconds();
    return { cpuMs: (usedSeconds - before) * 1_000, status, size };
  }

  /** What is wrong with how a request was answered; undefined when nothing is. */
  async function excessOf(hostile: HostileRequest): Promise<string | undefined> {
    const isLarge = (hostile.body?.length ?? 0) > 100 * KILOBYTE;
    const mostMs = isLarge ? MOST_CPU_MS.large : MOST_CPU_MS.small;
    let best = Number.POSITIVE_INFINITY;
    for (let attempt = 0; attempt < TRIES && best > mostMs; attempt += 1) {
      const { cpuMs, status, size } = await costOf(hostile);
      if (status >= 500 || size > LARGEST_ANSWER) return `${hostile.name}: ${status}, ${size} bytes`;
      best = Math.min(best, cpuMs);
    }
    return best > mostMs ? `${hostile.name}: ${best.toFixed(0)} ms` : undefined;
  }

  /** Nobody, who holds nothing, and who holds just what the route asks for. */
  function callersOf(route: DeclaredRoute): [caller: string, headers: Record<string, string>][] {
    const bearer = (permission: string) => ({ authorization: `Bearer ${tokens.get(permission)}` });
    const needed = permissionOf(route);
    return [
      ['nobody', {}],
      ['a user', bearer('')],
      ...(needed === undefined ? [] : [[needed, bearer(needed)] as [string, Record<string, string>]]),
    ];
  }

  function requestsTo(route: DeclaredRoute): HostileRequest[] {
    const { method, url, bodyLimit, action, isForm } = route;
    const path = vacantPath(url).slice(1);
    const described = operations.get(action ?? '');
    const accepted = validBody(method, action ?? '') ?? {};
    return callersOf(route).flatMap(([caller, headers]) => {
      const name = (kind: string) => `${method} ${url}, ${kind}, ${caller}`;
      const withQueries = Object.entries(HOSTILE_QUERIES).map(([kind, query]) => ({
        name: name(kind),
        method,
        path: `${path}?${query(described?.queryParameters ?? [])}`,
        headers,
      }));
      if (method === 'GET') return withQueries;
      const bodies = Object.entries(HOSTILE_BODIES).map(([kind, make]) => ({
        name: name(kind),
        method,
        path,
        headers: { ...headers, 'content-type': 'application/json' },
        body: make(bodyLimit, accepted, described?.body ?? {}),
      }));
      const forms = Object.entries(isForm ? HOSTILE_FORMS : {}).map(([kind, make]) => ({
        name: name(kind),
        method,
        path,
        headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
        body: make(bodyLimit),
      }));
      return [...withQueries, ...bodies, ...forms];
    });
  }

  it('by nobody, by the least caller and by the holder of the permission, on every route, in every shape', async () => {
    const found: string[] = [];
    let asked = 0;
    for (const hostile of routes.flatMap(requestsTo)) {
      const excess = await excessOf(hostile);
      asked += 1;
      if (excess !== undefined) found.push(excess);
    }
    expect(found).toEqual([]);
    expect(asked).toBeGreaterThan(500);
  });

  it('and the service still answers who may ask', async () => {
    const { status } = await (await logIn(app.anonymous, 'admin', 'a long admin passphrase')).get('/auth/me');
    expect(status).toBe(200);
  });
});

function permissionOf({ access }: DeclaredRoute): string | undefined {
  return typeof access === 'object' && access.kind !== 'authenticated' ? access.permission : undefined;
}

/** A connection of its own each time: some of the answers end theirs. */
async function send(baseUrl: string, hostile: HostileRequest): Promise<{ status: number; size: number }> {
  const { method, path, headers, body } = hostile;
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, baseUrl), {
      method,
      headers: { ...headers, ...length },
      agent: false,
    });
    sent.on('response', (response) => {
      // The service may hang up while we still write.
      sent.on('error', () => undefined);
      text(response).then(
        (answer) => resolve({ status: response.statusCode ?? 0, size: answer.length }),
        reject,
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
