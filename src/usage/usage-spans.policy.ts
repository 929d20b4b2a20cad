/** How long each bucket of a series is. Buckets begin at full hours, days and months of UTC. */
export type UsageInterval = 'hour' | 'day' | 'month';
export const USAGE_INTERVALS: readonly UsageInterval[] = ['hour', 'day', 'month'];

/** A span of whole hours: `from` belongs to it, `to` does not. */
export interface UsageSpan {
  readonly from: Date;
  readonly to: Date;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Later hours have years of five digits. */
const LAST_HOUR_MS = Date.UTC(9999, 11, 31, 23);

/**
 * The hours that a request is about: what was used is kept by the hour, so the span is widened to whole ones. By
 * default it ends with the current hour and reaches back a day, 30 days or 12 months.
 */
export function usageSpan(
  interval: UsageInterval,
  { from, to }: { readonly from?: Date | undefined; readonly to?: Date | undefined },
  now: Date,
): UsageSpan {
  const endMs = Math.ceil((to?.getTime() ?? now.getTime() + 1) / HOUR_MS) * HOUR_MS;
  const end = new Date(Math.min(endMs, LAST_HOUR_MS));
  const begin = from ?? before(new Date(end.getTime() - HOUR_MS), interval);
  return { from: new Date(Math.floor(begin.getTime() / HOUR_MS) * HOUR_MS), to: end };
}

/** The beginning of the bucket that holds a moment. */
function bucketStart(interval: UsageInterval, moment: Date): Date {
  if (interval === 'month') return monthStart(moment, 0);
  const length = interval === 'hour' ? HOUR_MS : DAY_MS;
  return new Date(Math.floor(moment.getTime() / length) * length);
}

/** The beginnings of all buckets that hold a part of the span, oldest first; undefined when they are more than `most`. */
export function bucketStarts(
  interval: UsageInterval,
  { from, to }: UsageSpan,
  most: number,
): Date[] | undefined {
  const starts: Date[] = [];
  for (let start = bucketStart(interval, from); start < to; start = bucketAfter(interval, start)) {
    if (starts.length === most) return undefined;
    starts.push(start);
  }
  return starts;
}

function bucketAfter(interval: UsageInterval, start: Date): Date {
  if (interval === 'month') return monthStart(start, 1);
  return new Date(start.getTime() + (interval === 'hour' ? HOUR_MS : DAY_MS));
}

/** Where a series begins that ends with the bucket of `last`: 24 hours, 30 days or 12 months, that one included. */
function before(last: Date, interval: UsageInterval): Date {
  switch (interval) {
    case 'hour':
      return new Date(last.getTime() - 23 * HOUR_MS);
    case 'day':
      return new Date(bucketStart('day', last).getTime() - 29 * DAY_MS);
    case 'month':
      return monthStart(last, -11);
  }
}

/** Not `Date.UTC`, which takes the years before 100 for those of the last century. */
function monthStart(moment: Date, months: number): Date {
  const start = new Date(0);
  start.setUTCFullYear(moment.getUTCFullYear(), moment.getUTCMonth() + months, 1);
  return start;
}
