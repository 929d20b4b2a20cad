import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ChangeFeed } from '../../src/change-feed/change-feed.service.js';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { TestApp } from '../support/test-app.js';
import { PEPPERS, PREFIXES, RandomWorld, WORLD_TIME } from './random-world.js';
import { type Question, Reference } from './reference.js';
import { bodyOf } from './verdicts.js';

const SEED = Number(process.env['WORLD_SEED'] ?? Date.now() % 2 ** 31);
const KEYS = 360;
const ROUNDS = 5;
const PARTS = 4;
const IN_A_BATCH = 100;
const BATCHES_IN_A_ROUND = 6;

const ENVIRONMENT = {
  ACCESS_TOKEN_TTL_SECONDS: '86400',
  API_KEY_PEPPERS: PEPPERS.map((pepper, index) => `${index + 1}:${pepper}`).join(','),
  API_KEY_PREFIX: PREFIXES[0],
  API_KEY_FORMER_PREFIXES: PREFIXES.slice(1).join(','),
};

/** What was asked, and every difference from the reference. */
interface Findings {
  pairs: number;
  readonly codes: Map<unknown, number>;
  readonly differences: unknown[];
}

describe(
  `a verdict, from memory or not, is what the tables say (WORLD_SEED=${SEED})`,
  { timeout: 120_000 },
  () => {
    const world = new RandomWorld(SEED, KEYS);
    let app: TestApp;
    let reference: Reference;
    const findings: Findings = { pairs: 0, codes: new Map(), differences: [] };

    beforeAll(async () => {
      app = await TestApp.start({ environment: ENVIRONMENT });
      await world.insertInto(app.database);
      reference = new Reference(app.database, PEPPERS);
    });
    afterAll(() => app.stop());

    it('over twenty thousand random questions about keys that change meanwhile', async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        // Windows of a minute and an hour are whole again in each round, those of a day go on.
        const nowMs = WORLD_TIME + round * 2 * 3_600_000;
        app.clock.stopAt(nowMs);
        if (round > 0) await world.change(app.database, round);
        if (round % 2 === 1) await app.database.query(`INSERT INTO change_feed (kind) VALUES ('everything')`);
        await app.app.get(ChangeFeed).readNow();
        await reference.read();
        const parts = world.questions(round, PARTS, BATCHES_IN_A_ROUND * IN_A_BATCH);
        // The first time most are not in memory, the second time they are.
        await compare(app, reference, nowMs, parts, findings);
        await compare(app, reference, nowMs, parts, findings);
      }
      expect(findings.differences.slice(0, 3)).toEqual([]);
      expect(findings.pairs).toBeGreaterThanOrEqual(20_000);
      // Every code was met often enough to mean something.
      for (const code of CODES) expect([code, findings.codes.get(code) ?? 0]).toEqual([code, atLeast(100)]);
    });

    it('in a process that has just started, asked one at a time', async () => {
      const fresh = await TestApp.start({ database: app.database, environment: ENVIRONMENT });
      try {
        const nowMs = WORLD_TIME + 3 * 86_400_000;
        fresh.clock.stopAt(nowMs);
        const single: Findings = { pairs: 0, codes: new Map(), differences: [] };
        const freshReference = new Reference(app.database, PEPPERS);
        await freshReference.read();
        const parts = world.questions(ROUNDS, 8, 30);
        await compare(fresh, freshReference, nowMs, parts, single, askEach);
        await compare(fresh, freshReference, nowMs, parts, single, askEach);
        expect(single.differences.slice(0, 3)).toEqual([]);
        expect(single.pairs).toBe(480);
      } finally {
        await fresh.stop();
      }
    });
  },
);

const CODES = (
  'NOT_FOUND DISABLED EXPIRED IP_NOT_ALLOWED MODEL_NOT_ALLOWED CHATBOT_NOT_ALLOWED ' +
  'INSUFFICIENT_SCOPE BUDGET_EXCEEDED RATE_LIMITED VALID'
).split(' ');

function atLeast(minimum: number): unknown {
  return expect.toSatisfy((count: number) => count >= minimum, `at least ${minimum}`);
}

type Ask = (client: ApiClient, questions: readonly Question[]) => Promise<Record<string, unknown>[]>;

/** Parts are asked at the same time, the questions of a part one after the other. */
async function compare(
  { admin }: TestApp,
  reference: Reference,
  nowMs: number,
  parts: readonly (readonly Question[])[],
  findings: Findings,
  ask: Ask = askBatches,
): Promise<void> {
  const answered = await Promise.all(parts.map((questions) => ask(admin, questions)));
  for (const [part, questions] of parts.entries()) {
    for (const [index, question] of questions.entries()) {
      const answer = answered[part]![index]!;
      const { answer: expected, resets } = reference.judge(question, nowMs);
      findings.pairs += 1;
      findings.codes.set(expected['code'], (findings.codes.get(expected['code']) ?? 0) + 1);
      if (isSame(answer, expected, resets)) continue;
      findings.differences.push({ question, answer, expected, resets });
    }
  }
}

async function askBatches(
  client: ApiClient,
  questions: readonly Question[],
): Promise<Record<string, unknown>[]> {
  const verdicts: Record<string, unknown>[] = [];
  for (let start = 0; start < questions.length; start += IN_A_BATCH) {
    const requests = questions.slice(start, start + IN_A_BATCH);
    const answer = await answerTo(() => client.post('/api-keys/verify/batch', { requests }));
    verdicts.push(...(answer['verdicts'] as Record<string, unknown>[]));
  }
  return verdicts;
}

async function askEach(
  client: ApiClient,
  questions: readonly Question[],
): Promise<Record<string, unknown>[]> {
  const verdicts: Record<string, unknown>[] = [];
  for (const question of questions) {
    verdicts.push(await answerTo(() => client.post('/api-keys/verify', question)));
  }
  return verdicts;
}

/** On a busy machine the database may be late: that is answered with 503, has consumed nothing, and is requested again. */
async function answerTo(ask: () => Promise<ApiAnswer>): Promise<Record<string, unknown>> {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await ask();
    if (answer.status !== 503 || attempt === 20) return bodyOf(answer);
  }
}

/** Everything equal, and each window whole again when it may be: not before its length has passed, at most a tenth later. */
function isSame(
  answer: Record<string, unknown>,
  expected: Record<string, unknown>,
  resets: readonly (readonly [number, number])[],
): boolean {
  const windows = (answer['rate_limits'] ?? []) as Record<string, unknown>[];
  const inTime = windows.map(({ reset_at }, index) => {
    const [earliest, latest] = resets[index] ?? [Number.NaN, Number.NaN];
    const reset = Date.parse(String(reset_at));
    return reset >= earliest && reset <= latest;
  });
  const withoutResets = {
    ...answer,
    ...('rate_limits' in answer ? { rate_limits: windows.map(({ reset_at: _, ...rest }) => rest) } : {}),
  };
  return inTime.every(Boolean) && JSON.stringify(withoutResets) === JSON.stringify(expected);
}
