import { Injectable } from '@nestjs/common';
import { type FieldError, MOST_ERRORS, shown, validationFailed } from '../common/app-error.js';
import { ID_OF_NO_KEY, KeyReach } from '../api-keys/key-reach.service.js';
import { Clock } from '../common/clock.js';
import { Redactor } from '../common/redactor.js';
import type { Reporter } from './reporter.js';
import type { RecordStatus, UsageEvent } from './usage-event.js';
import { UsageCounts } from './usage-counts.service.js';
import { checkUsageEvent } from './usage-event.schema.js';
import { UsageRecorder } from './usage-recorder.service.js';

/** An event that was not recorded, by its place in what was sent. */
export interface RejectedEvent {
  readonly index: number;
  readonly errors: readonly FieldError[];
}

/** A reported event, by its index, whose request id was recorded before with other content. */
export interface ConflictingEvent {
  readonly index: number;
  readonly request_id: string;
}

/** The result of a report. Conflicts are among the duplicates. */
export interface IngestionResult {
  readonly accepted: number;
  readonly duplicates: number;
  readonly conflicts: readonly ConflictingEvent[];
  readonly rejected: readonly RejectedEvent[];
  /** Every rejected event is listed, but no more than 50 broken rules are. */
  readonly errors_truncated?: true;
}

const MOST_EVENTS = 1_000;

/** Takes usage in: each event is judged on its own, so that a bad one harms only itself. */
@Injectable()
export class UsageIngestionService {
  constructor(
    private readonly recorder: UsageRecorder,
    private readonly keys: KeyReach,
    private readonly counts: UsageCounts,
    private readonly clock: Clock,
    private readonly redactor: Redactor,
  ) {}

  /**
   * Records one event, or a list of up to 1,000; answers after commit.
   * @throws AppError `validation.failed` for a single event that is not valid, and for a list that is too long
   */
  ingest(body: unknown, reporter: Reporter): Promise<IngestionResult> {
    return Array.isArray(body) ? this.#ingestAll(body, reporter) : this.#ingestOne(body, reporter);
  }

  async #ingestOne(body: unknown, reporter: Reporter): Promise<IngestionResult> {
    const checked = checkUsageEvent(body, this.clock.now(), this.redactor);
    if (checked.kind === 'invalid') {
      this.counts.add('invalid');
      throw validationFailed(checked.errors);
    }
    const [status = 'unknown_key'] = await this.#record([checked.event], reporter);
    const error = rejectionOf(status);
    if (error !== undefined) throw validationFailed([error]);
    const isNew = status === 'accepted';
    const conflicts = status === 'conflict' ? [{ index: 0, request_id: checked.event.requestId }] : [];
    return { accepted: isNew ? 1 : 0, duplicates: isNew ? 0 : 1, conflicts, rejected: [] };
  }

  async #ingestAll(values: readonly unknown[], reporter: Reporter): Promise<IngestionResult> {
    if (values.length > MOST_EVENTS) {
      throw validationFailed([{ field: 'body', message: `must have at most ${MOST_EVENTS} events` }]);
    }
    const now = this.clock.now();
    const rejected: RejectedEvent[] = [];
    const events: UsageEvent[] = [];
    const indexes: number[] = [];
    for (const [index, value] of values.entries()) {
      const checked = checkUsageEvent(value, now, this.redactor);
      if (checked.kind === 'invalid') {
        this.counts.add('invalid');
        rejected.push({ index, errors: checked.errors });
      } else {
        events.push(checked.event);
        indexes.push(index);
      }
    }
    const statuses = events.length === 0 ? [] : await this.#record(events, reporter);
    let [accepted, duplicates] = [0, 0];
    const conflicts: ConflictingEvent[] = [];
    for (const [place, status] of statuses.entries()) {
      const error = rejectionOf(status);
      const index = indexes[place] ?? place;
      if (status === 'accepted') accepted += 1;
      else if (error === undefined) duplicates += 1;
      else rejected.push({ index, errors: [error] });
      if (status === 'conflict') conflicts.push({ index, request_id: events[place]?.requestId ?? '' });
    }
    const sorted = rejected.toSorted((a, b) => a.index - b.index);
    return { accepted, duplicates, conflicts, ...bounded(sorted) };
  }

  /** Records the events of keys that the caller reaches; to this caller, all others are of a key that there is not. */
  async #record(events: readonly UsageEvent[], reporter: Reporter): Promise<readonly RecordStatus[]> {
    const { reach } = reporter;
    if (reach === undefined) return this.recorder.record(events, reporter);
    const reached = await this.keys.among(
      reach,
      events.map(({ apiKeyId }) => apiKeyId),
    );
    const seen = events.map((event) =>
      reached.has(event.apiKeyId) ? event : { ...event, apiKeyId: ID_OF_NO_KEY },
    );
    return this.recorder.record(seen, reporter);
  }
}

/** A thousand events may break many thousand rules: only the first are returned, as everywhere. */
function bounded(rejected: readonly RejectedEvent[]): Pick<IngestionResult, 'rejected' | 'errors_truncated'> {
  let left = MOST_ERRORS;
  let isTruncated = false;
  const shortened = rejected.map(({ index, errors }) => {
    const kept = errors.slice(0, left).map(shown);
    left -= kept.length;
    isTruncated ||= kept.length < errors.length;
    return { index, errors: kept };
  });
  return { rejected: shortened, ...(isTruncated ? { errors_truncated: true as const } : {}) };
}

/** Why an event was not recorded; undefined for one that was, now or before. */
function rejectionOf(status: RecordStatus): FieldError | undefined {
  switch (status) {
    case 'accepted':
    case 'duplicate':
    case 'conflict':
      return undefined;
    case 'unknown_key':
      return { field: 'api_key_id', message: 'must be the id of an API key' };
    case 'unknown_hold':
      return { field: 'hold_id', message: 'must be the id of a hold of this API key that you took' };
    case 'hold_released':
      return { field: 'hold_id', message: 'must not be a hold that was released' };
    case 'hold_settled':
      return { field: 'hold_id', message: 'must not be a hold that another event settled' };
  }
}
