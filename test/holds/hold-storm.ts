import { Agent, request } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import type { TestApiKey } from '../support/test-app.js';

/** What clients know of a storm of requests for holds. Amounts are micro-cents. */
export interface StormOutcome {
  /** By the id of the hold: an answer that was asked for again counts once. */
  readonly granted: ReadonlyMap<string, bigint>;
  readonly refused: number;
  /** Those who never learnt what became of their request. */
  readonly unanswered: number;
}

interface Target {
  readonly baseUrls: readonly (() => string)[];
  readonly accessToken: string;
}

const HOLD_SECONDS = 3_600;
/** As many as it takes until PostgreSQL is back on a busy machine. */
const RETRIES = 200;
const RETRY_AFTER_MS = 100;

/**
 * Clients that each ask once, all at the same time, spread over instances. Who gets no answer soon asks the next
 * instance, under the same request id.
 */
export async function storm(
  { baseUrls, accessToken }: Target,
  key: TestApiKey,
  amountsMicroCents: readonly bigint[],
): Promise<StormOutcome> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1_000 });
  const granted = new Map<string, bigint>();
  let [refused, unanswered] = [0, 0];
  await Promise.all(
    amountsMicroCents.map(async (amount, client) => {
      for (let attempt = 0; attempt <= RETRIES; attempt += 1) {
        if (attempt > 0) await setTimeout(RETRY_AFTER_MS);
        const baseUrl = baseUrls[(client + attempt) % baseUrls.length]!;
        const answer = await ask(agent, baseUrl, accessToken, {
          api_key_id: key.id,
          amount_cents: decimal(amount),
          ttl_seconds: HOLD_SECONDS,
          request_id: `client-${client}`,
        });
        if (answer.status === 201) granted.set(answer.holdId, amount);
        else if (answer.status === 402) refused += 1;
        else if (attempt === RETRIES) unanswered += 1;
        if (answer.status === 201 || answer.status === 402) return;
      }
    }),
  );
  agent.destroy();
  return { granted, refused, unanswered };
}

/** What a budget must not have let happen; empty when all is well. */
export function faultsIn(
  { granted, refused, unanswered }: StormOutcome,
  limitMicroCents: bigint,
  amountsMicroCents: readonly bigint[],
): string[] {
  const sum = [...granted.values()].reduce((total, amount) => total + amount, 0n);
  const largest = amountsMicroCents.reduce((most, amount) => (amount > most ? amount : most), 0n);
  const faults: string[] = [];
  if (sum > limitMicroCents) faults.push(`${sum} were granted of ${limitMicroCents}.`);
  if (unanswered === 0 && refused > 0 && sum < limitMicroCents - largest)
    faults.push(`Only ${sum} were granted of ${limitMicroCents}, although some were refused.`);
  return faults;
}

function decimal(microCents: bigint): string {
  const digits = microCents.toString().padStart(7, '0');
  return `${digits.slice(0, -6)}.${digits.slice(-6)}`;
}

/** An instance that is killed answers nothing: status 0. */
function ask(
  agent: Agent,
  baseUrl: () => string,
  accessToken: string,
  body: unknown,
): Promise<{ status: number; holdId: string }> {
  return new Promise((resolve) => {
    const none = () => resolve({ status: 0, holdId: '' });
    const headers = { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' };
    const sent = request(`${baseUrl()}/api/v1/budget-holds`, { agent, method: 'POST', headers });
    sent.on('error', none);
    sent.on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('error', none);
      answer.on('end', () => {
        const { id = '' } = answer.complete ? (JSON.parse(text) as { id?: string }) : {};
        resolve({ status: answer.complete ? (answer.statusCode ?? 0) : 0, holdId: id });
      });
    });
    sent.end(JSON.stringify(body));
  });
}
