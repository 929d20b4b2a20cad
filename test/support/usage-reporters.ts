import { setTimeout as pause } from 'node:timers/promises';
import { vi } from 'vitest';
import { usageEvent } from './usage-events.js';

/** Who takes usage in: it may be another each time. */
export interface UsageReceiver {
  /** `http://host:port`, undefined while none runs. */
  baseUrl: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

/** Every event that a client was told is recorded: request id → micro-cents, by key. */
export type Acknowledged = Map<number, Map<string, bigint>>;

const PAUSE_MS = 25;
const LONGEST_ANSWER_MS = 20_000;
const BATCHES = [1, 7, 1, 40];

/**
 * Clients that report usage of a few keys and send each report again until it is acknowledged; now and then they send
 * one again that was acknowledged already. They count by themselves what they were told.
 */
export class UsageReporters {
  readonly acknowledged: Acknowledged = new Map();
  /** Acknowledged reports. */
  reports = 0;
  /** Events that were said to be accepted for the first time; an event at most once. */
  accepted = 0;
  /** Reports that were sent and not acknowledged: refused for now, or cut off. */
  failures = 0;
  /** Answers that no client may get. */
  readonly complaints: string[] = [];
  #isStopped = false;
  #isAbandoned = false;
  readonly #clients: Promise<void>[];

  constructor(
    private readonly receiver: UsageReceiver,
    apiKeyIds: readonly number[],
    clients: number,
  ) {
    for (const id of apiKeyIds) this.acknowledged.set(id, new Map());
    this.#clients = Array.from({ length: clients }, (_value, client) => this.#report(client, apiKeyIds));
  }

  get events(): number {
    return [...this.acknowledged.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** Resolves when so many more reports were acknowledged. */
  async more(reports: number, timeoutMs = 60_000): Promise<void> {
    const enough = this.reports + reports;
    await vi.waitUntil(() => this.reports >= enough, { timeout: timeoutMs, interval: 2 });
  }

  /** Lets every client finish its report and leave. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#clients);
  }

  /** Lets every client leave at once, acknowledged or not. */
  async abandon(): Promise<void> {
    this.#isAbandoned = true;
    await this.stop();
  }

  async #report(client: number, apiKeyIds: readonly number[]): Promise<void> {
    for (let turn = client; !this.#isStopped; turn += 1) {
      const events = Array.from({ length: BATCHES[turn % BATCHES.length] ?? 1 }, (_value, index) =>
        usageEvent(apiKeyIds[(turn + index) % apiKeyIds.length] ?? 0, {
          model: `model-${index % 3}`,
          cost_cents: `${turn % 5}.00000${index % 10}`,
        }),
      );
      let accepted = await this.#untilAcknowledged(events);
      if (turn % 5 === 0) accepted += await this.#untilAcknowledged(events);
      if (accepted > events.length) this.complaints.push(`${events.length} events, ${accepted} accepted`);
      this.accepted += accepted;
    }
  }

  /** Answers how many were accepted for the first time. */
  async #untilAcknowledged(events: readonly Record<string, unknown>[]): Promise<number> {
    while (!this.#isAbandoned) {
      const answer = await this.#send(events.length === 1 ? events[0] : events);
      if (answer !== undefined) {
        const { accepted, duplicates } = answer;
        if (accepted + duplicates !== events.length) this.complaints.push(JSON.stringify(answer));
        for (const event of events) this.#note(event);
        this.reports += 1;
        return accepted;
      }
      await pause(PAUSE_MS);
    }
    return 0;
  }

  #note(event: Record<string, unknown>): void {
    const [whole = '', fraction = ''] = String(event['cost_cents']).split('.');
    this.acknowledged
      .get(Number(event['api_key_id']))
      ?.set(String(event['request_id']), BigInt(whole + fraction));
  }

  async #send(body: unknown): Promise<{ accepted: number; duplicates: number } | undefined> {
    const { baseUrl, headers } = this.receiver;
    if (baseUrl === undefined) return undefined;
    try {
      const answer = await fetch(`${baseUrl}/api/v1/usage`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(LONGEST_ANSWER_MS),
      });
      const text = await answer.text();
      if (answer.status === 200) return JSON.parse(text) as { accepted: number; duplicates: number };
      this.failures += 1;
      if (answer.status !== 503) this.complaints.push(`${answer.status} ${text}`);
    } catch {
      // The process is gone: sent again to the next.
      this.failures += 1;
    }
    return undefined;
  }
}
