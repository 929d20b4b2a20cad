import { Injectable } from '@nestjs/common';
import { BudgetAlerts } from '../budgets/budget-alerts.service.js';
import { type BudgetRows, budgetsOf } from '../budgets/budget-rows.js';
import { BudgetStates } from '../budgets/budget-states.service.js';
import { GroupCommit } from '../common/group-commit.js';
import { type Reporter, reporterNumber } from './reporter.js';
import { PinnedConnection, STATEMENTS_PER_CONNECTION } from '../database/pinned-connection.js';
import { MeteringPool } from '../database/pools.js';
import { UsageCounts } from './usage-counts.service.js';
import type { RecordStatus, UsageEvent } from './usage-event.js';

interface Recorded {
  /** What became of the events that were not accepted, by their place; null when all were. */
  readonly others: Readonly<Record<number, RecordStatus>> | null;
  /** What the budgets of all keys stand at now. */
  readonly states: BudgetRows;
  /** How many thresholds of budgets the group reached. */
  readonly notices: number;
}

/** Connections of which each has statements of its own. */
const SHARDS = 2;
/** Lists from this length on are split by key among the shards; what is shorter goes together, which costs least. */
const SPLIT_FROM = 50;
/** Half a second of events at full speed; a group beyond it would only make its callers wait. */
const MOST_EVENTS_IN_GROUP = 5_000;

const RECORD_USAGE = {
  name: 'record_usage',
  text: `
    SELECT others, states, notices FROM record_usage($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
      $7::bigint[], $8::bigint[], $9::integer[], $10::bigint[], $11::timestamptz[], $12::uuid[], $13::bigint[], $14::bigint[],
      $15::integer[])`,
};

/**
 * Writes events down: many callers to a statement, which stores each event once, adds it to rollups and totals and
 * settles its budget. A caller is answered after commit. A group whose outcome is unknown is sent again, which the
 * request ids make harmless; one that holds something PostgreSQL refuses is taken apart, so that only that is lost.
 */
@Injectable()
export class UsageRecorder {
  readonly #shards: readonly Shard[];

  constructor(
    pool: MeteringPool,
    private readonly budgets: BudgetStates,
    private readonly alerts: BudgetAlerts,
    private readonly counts: UsageCounts,
  ) {
    this.#shards = Array.from({ length: SHARDS }, () => {
      const connection = new PinnedConnection(pool);
      return new GroupCommit({
        commit: (batches) => this.#commit(batches, connection),
        statements: STATEMENTS_PER_CONNECTION,
        authorityOf: ({ reporter }) => reporter.authority,
        sizeOf: (batch) => batch.events.length,
        maxGroupSize: MOST_EVENTS_IN_GROUP,
        maxWaiting: 10_000,
      });
    });
  }

  /** One status per event, in order, once they are committed. When it fails, some may have been recorded. */
  async record(events: readonly UsageEvent[], reporter: Reporter): Promise<readonly RecordStatus[]> {
    const [together] = this.#shards;
    const statuses =
      events.length < SPLIT_FROM && together !== undefined
        ? await together.submit({ events, reporter })
        : await this.#recordApart(events, reporter);
    for (const status of statuses) this.counts.add(status);
    return statuses;
  }

  async #recordApart(events: readonly UsageEvent[], reporter: Reporter): Promise<readonly RecordStatus[]> {
    const shares = this.#shards.map((shard) => ({
      shard,
      places: [] as number[],
      events: [] as UsageEvent[],
    }));
    for (const [place, event] of events.entries()) {
      const share = shares[event.apiKeyId % SHARDS];
      share?.places.push(place);
      share?.events.push(event);
    }
    const statuses: RecordStatus[] = [];
    await Promise.all(
      shares.map(async (share) => {
        if (share.events.length === 0) return;
        const recorded = await share.shard.submit({ events: share.events, reporter });
        for (const [index, place] of share.places.entries())
          statuses[place] = recorded[index] as RecordStatus;
      }),
    );
    return statuses;
  }

  async #commit(
    batches: readonly Batch[],
    connection: PinnedConnection,
  ): Promise<(readonly RecordStatus[])[]> {
    const events = batches.flatMap((batch) => batch.events);
    const sentAtMs = performance.now();
    const { rows } = await connection.query<Recorded>({
      ...RECORD_USAGE,
      values: [...columnsOf(events), ...reportersOf(batches), events.map((event) => event.contentDigest)],
    });
    const [recorded] = rows;
    this.budgets.note(
      budgetsOf(
        recorded?.states ?? null,
        events.map(({ apiKeyId }) => apiKeyId),
      ),
      sentAtMs,
    );
    if ((recorded?.notices ?? 0) > 0) this.alerts.publishSoon();
    let at = 0;
    return batches.map((batch) => batch.events.map(() => recorded?.others?.[at++] ?? 'accepted'));
  }
}

/** Events that one caller reports together. */
interface Batch {
  readonly events: readonly UsageEvent[];
  readonly reporter: Reporter;
}

type Shard = GroupCommit<Batch, readonly RecordStatus[]>;

/** For each event, the user and the number of who reports it. */
function reportersOf(batches: readonly Batch[]): [userIds: number[], reporters: number[]] {
  const [userIds, reporters]: [number[], number[]] = [[], []];
  for (const { events, reporter } of batches) {
    const number = reporterNumber(reporter);
    for (let place = 0; place < events.length; place += 1) {
      userIds.push(reporter.userId);
      reporters.push(number);
    }
  }
  return [userIds, reporters];
}

function columnsOf(events: readonly UsageEvent[]): unknown[][] {
  return [
    events.map((event) => event.apiKeyId),
    events.map((event) => event.requestId),
    events.map((event) => event.endpoint),
    events.map((event) => event.method),
    events.map((event) => event.model),
    events.map((event) => event.requestTokens),
    events.map((event) => event.responseTokens),
    events.map((event) => event.costMicroCents.toString()),
    events.map((event) => event.statusCode),
    events.map((event) => event.responseTimeMs),
    events.map((event) => event.occurredAt.toISOString()),
    events.map((event) => event.holdId),
  ];
}
