import { PEEK, type RateLimiter } from './rate-limiter.js';
import {
  isBeyond,
  type RateLimitPolicy,
  type ConsumeOutcome,
  WINDOW_NAMES,
  type WindowName,
  type WindowState,
} from './rate-windows.policy.js';

/** The windows of one key of a line. */
export interface LineWindows {
  readonly apiKeyId: number;
  readonly rateLimits: RateLimitPolicy;
}

type Outcomes = readonly ConsumeOutcome[];

/**
 * Consumes `cost` from the windows of a key and of all its ancestors, or from none: children do not multiply the limit of
 * their parent. All are read first, so that one that refuses costs the others nothing. In memory nothing comes between
 * reading and consuming. In Redis another request may: what was consumed from the others then stays consumed, so
 * that never more than a limit are admitted, and for a moment fewer.
 *
 * @param line the key itself first
 * @returns for each window the state of the key with the least remaining
 */
export function consumeFromLine(
  limiter: RateLimiter,
  line: readonly LineWindows[],
  cost: number,
  nowMs: number,
): ConsumeOutcome | Promise<ConsumeOutcome> {
  const consume = ({ apiKeyId, rateLimits }: LineWindows, amount: number) =>
    limiter.consume(apiKeyId, rateLimits, amount, nowMs);
  const finish = (peeks: Outcomes) => {
    if (cost === PEEK) return together(peeks);
    const refuses = peeks.map(({ windows }) => isBeyond(windows, cost));
    // A key that refuses is called with the whole cost: it consumes nothing, and returns when it will have capacity.
    const isAdmitted = !refuses.includes(true);
    const outcomes = line.map((key, index) =>
      isAdmitted || refuses[index] ? consume(key, cost) : (peeks[index] as ConsumeOutcome),
    );
    return whenAll(outcomes, together);
  };
  return whenAll(
    line.map((key) => consume(key, PEEK)),
    finish,
  );
}

/** Synchronous when every outcome is. */
function whenAll(
  outcomes: readonly (ConsumeOutcome | Promise<ConsumeOutcome>)[],
  then: (outcomes: Outcomes) => ConsumeOutcome | Promise<ConsumeOutcome>,
): ConsumeOutcome | Promise<ConsumeOutcome> {
  const isThere = outcomes.every((outcome) => !(outcome instanceof Promise));
  return isThere
    ? then(outcomes as Outcomes)
    : Promise.all(outcomes.map(async (outcome) => outcome)).then(then);
}

function together(outcomes: Outcomes): ConsumeOutcome {
  const refused = outcomes.filter(({ allowed }) => !allowed);
  const waits = refused.map(({ retryAfterSeconds }) => retryAfterSeconds);
  return {
    allowed: refused.length === 0,
    windows: WINDOW_NAMES.flatMap((name) => tightest(outcomes, name) ?? []),
    retryAfterSeconds:
      waits.length === 0 || waits.includes(null) ? null : Math.max(...waits.map((wait) => wait ?? 0)),
  };
}

function tightest(outcomes: Outcomes, name: WindowName): WindowState | undefined {
  const states = outcomes.flatMap(({ windows }) => windows.filter(({ window }) => window === name));
  return states.reduce<WindowState | undefined>((found, state) => {
    if (found === undefined || state.remaining < found.remaining) return state;
    return state.remaining === found.remaining && state.resetAtMs > found.resetAtMs ? state : found;
  }, undefined);
}
