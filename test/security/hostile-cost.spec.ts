import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { logIn, TestApp, testEnvironment, USER_PASSWORD } from '../support/test-app.js';
import { type DescribedOperation, describedOperations } from './described-operations.js';
import { HOSTILE_BODIES, HOSTILE_FORMS, HOSTILE_QUERIES } from './hostile-inputs.js';
import { type DeclaredRoute, declaredRoutes, documentRoutes, vacantPath, validBody } from './routes.js';

const KILOBYTE = 1_024;
const LARGEST_ANSWER = 64 * KILOBYTE;
/** Texts that never change and hold what nobody sent: the API document, and what its pages are made of. */
const STATIC_DOCUMENTS = /^\/(openapi\.(json|yaml)|docs\/.+|guide(\/.*)?)$/;
const LARGEST_DOCUMENT = 2_048 * KILOBYTE;
const MOST_CPU_MS = { small: 25, large: 100 };
/** What a busy machine or a background job adds to one try, it does not add to each. */
const TRIES = 4;
const AT_ONCE = 4;
const CORE_KINDS = new Set([
  'unknown properties',
  'list items',
  'nested objects',
  'a long string',
  'a parameter that is repeated',
]);

interface HostileRequest {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body?: string;
  /** It may end the session that it is sent with, so each one is sent with its own. */
  readonly endsSession: boolean;
}

describe('no request costs much before it is allowed', () => {
  let reflected: TestApp;
  let app: AppProcess;
  let operations: Map<string, DescribedOperation>;
  let routes: DeclaredRoute[];
  const tokens = new Map<string, string>();
  let leastUsername = '';
  let usedSeconds = 0;
  beforeAll(async () => {
    reflected = await TestApp.start();
    app = await AppProcess.start(testEnvironment(reflected.database.url));
    operations = new Map(describedOperations(reflected.app).map((each) => [each.action, each]));
    routes = [...declaredRoutes(reflected.app), ...documentRoutes(reflected.app)];
    for (const permission of [
      '',
      ...new Set(routes.map(permissionOf).filter((each) => each !== undefined)),
    ]) {
      const { username } = await reflected.user({ permissions: permission === '' ? [] : [permission] });
      leastUsername = permission === '' ? username : leastUsername;
      tokens.set(permission, await newTokenOf(username));
    }
    usedSeconds = await cpuSeconds();
  });
  afterAll(async () => {
    await app?.kill9();
    await reflected?.stop();
  });

  async function newTokenOf(username: string): Promise<string> {
    const { body } = await reflected.anonymous.post('/auth/login', { username, password: USER_PASSWORD });
    return String(body['access_token']);
  }

  async function send(hostile: HostileRequest): Promise<{ status: number; size: number }> {
    if (!hostile.endsSession) return sendOnce(app.baseUrl, hostile);
    const authorization = `Bearer ${await newTokenOf(leastUsername)}`;
    return sendOnce(app.baseUrl, { ...hostile, headers: { ...hostile.headers, authorization } });
  }

  /** CPU of all threads of the service; the one that answers requests is one of them. */
  async function cpuSeconds(): Promise<number> {
    const metrics = await app.anonymous.get('//metrics');
    return Number(/^process_cpu_seconds_total (\S+)/m.exec(metrics.text)?.[1]);
  }

  /** CPU since it was last asked. */
  async function cpuMs(): Promise<number> {
    const before = usedSeconds;
    usedSeconds = await cpuSeconds();
    return (usedSeconds - before) * 1_000;
  }

  /** What is wrong with how requests are answered. They are measured one by one only if together they cost too much. */
  async function excessesOf(group: readonly HostileRequest[]): Promise<string[]> {
    const answers = await Promise.all(group.map(send));
    const wrong = answers.flatMap(({ status, size }, index) =>
      status >= 500 || size > largestAnswer(group[index]!)
        ? [`${group[index]!.name}: ${status}, ${size} bytes`]
        : [],
    );
    if ((await cpuMs()) <= Math.min(...group.map(mostCpuMs))) return wrong;
    for (const hostile of group) {
      let least = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < TRIES && least > mostCpuMs(hostile); attempt += 1) {
        await send(hostile);
        least = Math.min(least, await cpuMs());
      }
      if (least > mostCpuMs(hostile)) wrong.push(`${hostile.name}: ${least.toFixed(0)} ms`);
    }
    return wrong;
  }

  /** Nobody, who holds nothing, and who holds just what the route asks for; the last of them is let in. */
  function callersOf(route: DeclaredRoute): [caller: string, headers: Record<string, string>][] {
    const bearer = (permission: string) => ({ authorization: `Bearer ${tokens.get(permission) ?? ''}` });
    const needed = permissionOf(route);
    return [
      ...(route.access === 'public' ? [] : [['nobody', {}] as [string, Record<string, string>]]),
      ...(needed === undefined ? [] : [['a user', bearer('')] as [string, Record<string, string>]]),
      route.access === 'public'
        ? ['nobody', {}]
        : [`a holder of ${needed ?? 'nothing'}`, bearer(needed ?? '')],
    ];
  }

  function requestsTo(route: DeclaredRoute): HostileRequest[] {
    const { method, url, bodyLimit, action, isForm } = route;
    // Of the pages, the largest file.
    const path = vacantPath(url).slice(1).replace('*', 'swagger-ui-bundle.js');
    const slashes = url.endsWith('*')
      ? [
          {
            name: `GET ${url}, slashes, nobody`,
            method,
            path: `${url.slice(0, -1)}${'/'.repeat(8_000)}x`,
            headers: {},
            endsSession: false,
          },
        ]
      : [];
    const described = operations.get(action ?? '');
    const accepted = validBody(method, action ?? '') ?? {};
    const made = new Map<string, string>();
    const bodyOf = (kind: string, make: () => string) => {
      const body = made.get(kind) ?? make();
      made.set(kind, body);
      return body;
    };
    const callers = callersOf(route);
    return callers.flatMap(([caller, headers], index) => {
      // Of who is refused, no more than the head of the request is looked at (early-refusal.spec.ts).
      const isLetIn = index === callers.length - 1 || route.access === 'public';
      const isSent = ([kind]: [string, unknown]) => isLetIn || CORE_KINDS.has(kind);
      const endsSession = action === 'logout' && isLetIn;
      const base = (kind: string) => ({
        name: `${method} ${url}, ${kind}, ${caller}`,
        method,
        path,
        endsSession,
      });
      const withQueries = Object.entries(HOSTILE_QUERIES)
        .filter(isSent)
        .map(([kind, query]) => {
          const sentPath = `${path}?${query(described?.queryParameters ?? [])}`;
          return { ...base(kind), path: sentPath, headers };
        });
      if (method === 'GET') return [...withQueries, ...slashes];
      const bodies = Object.entries(HOSTILE_BODIES)
        .filter(isSent)
        .map(([kind, make]) => ({
          ...base(kind),
          headers: { ...headers, 'content-type': 'application/json' },
          body: bodyOf(kind, () => make(bodyLimit, accepted, described?.body ?? {}, described?.item)),
        }));
      const forms = Object.entries(isForm ? HOSTILE_FORMS : {}).map(([kind, make]) => ({
        ...base(kind),
        headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
        body: bodyOf(kind, () => make(bodyLimit)),
      }));
      return [...withQueries, ...bodies, ...forms];
    });
  }

  it('by nobody, by the least caller and by the holder of the permission, on every route, in every shape', async () => {
    const found: string[] = [];
    let sent = 0;
    for (const route of routes) {
      const hostile = requestsTo(route);
      for (let at = 0; at < hostile.length; at += AT_ONCE)
        found.push(...(await excessesOf(hostile.slice(at, at + AT_ONCE))));
      sent += hostile.length;
    }
    expect(found).toEqual([]);
    expect(sent).toBeGreaterThan(400);
  });

  it('and the API document is not created again for each request', async () => {
    for (const path of ['openapi.json', 'openapi.yaml']) {
      const hostile = { name: path, method: 'GET', path, headers: {}, endsSession: false };
      const costs: number[] = [];
      for (let attempt = 0; attempt < TRIES; attempt += 1) {
        await cpuMs();
        await Promise.all(Array.from({ length: 20 }, () => send(hostile)));
        costs.push(await cpuMs());
      }
      expect(Math.min(...costs)).toBeLessThan(MOST_CPU_MS.large);
    }
  });

  it('and the service still answers who may ask', async () => {
    const { status } = await (await logIn(app.anonymous, 'admin', 'a long admin passphrase')).get('/auth/me');
    expect(status).toBe(200);
  });
});

function mostCpuMs({ body }: HostileRequest): number {
  return (body?.length ?? 0) > 100 * KILOBYTE ? MOST_CPU_MS.large : MOST_CPU_MS.small;
}

function largestAnswer({ path }: HostileRequest): number {
  return STATIC_DOCUMENTS.test(path.split('?', 1)[0]!) ? LARGEST_DOCUMENT : LARGEST_ANSWER;
}

function permissionOf({ access }: DeclaredRoute): string | undefined {
  return typeof access === 'object' && access.kind !== 'authenticated' ? access.permission : undefined;
}

/** A connection of its own each time: some of the answers end theirs. */
async function sendOnce(baseUrl: string, hostile: HostileRequest): Promise<{ status: number; size: number }> {
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
