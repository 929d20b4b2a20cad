import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { Loads } from './loads.js';
import { type Call, callAtOnce } from './many-calls.js';
import { newSecret } from './secrets.js';
import { codeOf, settle } from './verdicts.js';

const ASKERS = 2_000;
const SPARE_KEYS = 20;

describe('many at once do not trample the database', { timeout: 60_000 }, () => {
  let app: TestApp;
  let loads: Loads;
  let service: TestApiKey;
  const keys: TestApiKey[] = [];
  beforeAll(async () => {
    app = await TestApp.start();
    service = await app.apiKey(app.admin, { scopes: ['platform:api-keys:verify'] });
    keys.push(...(await Promise.all(Array.from({ length: SPARE_KEYS }, () => app.apiKey()))));
    loads = await Loads.watch(app.database);
    // The caller and the connection are known; the keys are not.
    await codeOf(app.anonymous.withApiKey(service.secret), keys.pop()!.secret);
  });
  afterAll(() => app.stop());

  const call = (path: string, body: unknown): Call => ({
    baseUrl: app.anonymous.baseUrl,
    token: service.secret,
    path,
    body,
  });
  const verify = (key: string): Call => call('/api-keys/verify', { key });
  /** What was told to how many. */
  async function tally(calls: readonly Call[]): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { status, body } of await callAtOnce(calls)) {
      const what = status === 200 ? String(body['code']) : String(status);
      counts[what] = (counts[what] ?? 0) + 1;
    }
    return counts;
  }

  it.each(['never asked for', 'just evicted'])(
    '2,000 who ask for one key that was %s cause one load',
    async (why) => {
      // A load that PostgreSQL was too slow for is answered with 503, and made again.
      for (let attempt = 0; ; attempt += 1) {
        const { id, secret } = keys.pop()!;
        if (why === 'just evicted') {
          expect(await codeOf(app.anonymous.withApiKey(service.secret), secret)).toBe('VALID');
          await app.database.query(`UPDATE api_keys SET tags = '{x}' WHERE id = $1`, [id]);
          await settle(app);
        }
        let counts: Record<string, number> = {};
        const made = await loads.during(async () => {
          counts = await tally(Array.from({ length: ASKERS }, () => verify(secret)));
        });
        if ('503' in counts && attempt < 5) continue;
        expect(counts).toEqual({ VALID: ASKERS });
        expect(made).toBe(1);
        break;
      }
    },
  );

  it('2,000 who ask for one key in batches cause one load', async () => {
    const { secret } = keys.pop()!;
    const requests = Array.from({ length: 100 }, () => ({ key: secret }));
    const made = await loads.during(async () => {
      const answers = await callAtOnce(
        Array.from({ length: ASKERS / 100 }, () => call('/api-keys/verify/batch', { requests })),
      );
      for (const { status } of answers) expect(status).toBe(200);
    });
    expect(made).toBe(1);
  });

  it('a flood of malformed keys makes no query', async () => {
    const { secret } = keys.at(-1)!;
    const malformed = Array.from({ length: 1_000 }, (_, n) => {
      const shapes = [
        '',
        'x'.repeat(n),
        secret.slice(0, -1),
        `${secret}${n}`,
        secret.replace(/.$/, '~'),
        newSecret('no_'),
      ];
      return n % 7 === 6 ? secret.slice(0, -1) + (secret.endsWith('0') ? '1' : '0') : shapes[n % 7]!;
    });
    let counts = {};
    const made = await loads.during(async () => {
      counts = await tally(malformed.map(verify));
    });
    expect(counts).toEqual({ NOT_FOUND: malformed.length });
    expect(made).toBe(0);
  });

  it('an unknown key that is asked for again and again is looked for once a second at most', async () => {
    const secret = newSecret();
    const beganAt = performance.now();
    let counts = {};
    const made = await loads.during(async () => {
      counts = await tally(Array.from({ length: 500 }, () => verify(secret)));
    });
    expect(counts).toEqual({ NOT_FOUND: 500 });
    expect(made).toBeLessThanOrEqual(1 + Math.ceil((performance.now() - beganAt) / 1_000));
  });

  it('a flood of unknown keys takes few statements, and known keys are answered before it is over', async () => {
    const known = keys.pop()!;
    expect(await codeOf(app.anonymous.withApiKey(service.secret), known.secret)).toBe('VALID');
    const flood = Array.from({ length: 60 }, () =>
      call('/api-keys/verify/batch', { requests: Array.from({ length: 100 }, () => ({ key: newSecret() })) }),
    );
    const order: string[] = [];
    const made = await loads.during(async () => {
      const flooded = callAtOnce(flood).then((answers) => {
        order.push('the flood is over');
        return answers;
      });
      const [answer] = await callAtOnce([verify(known.secret)]);
      order.push(`known: ${String(answer!.body['code'])}`);
      for (const { status, body } of await flooded) {
        // Beyond what may wait, who asks is refused rather than kept.
        if (status === 503) expect(body['code']).toBeOneOf(['service.overloaded', 'service.unavailable']);
        else expect([status, codesIn(body)]).toEqual([200, ['NOT_FOUND']]);
      }
    });
    expect(order).toEqual(['known: VALID', 'the flood is over']);
    expect(made).toBeLessThan(60);
    expect(await codeOf(app.anonymous.withApiKey(service.secret), known.secret)).toBe('VALID');
  });
});

function codesIn(body: Readonly<Record<string, unknown>>): string[] {
  return [...new Set((body['verdicts'] as { code: string }[]).map(({ code }) => code))];
}
