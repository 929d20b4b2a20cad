import {
  type RateLimitPolicy,
  secondsUntilRoom,
  type ConsumeOutcome,
  WINDOW_NAMES,
  type WindowState,
} from './rate-windows.policy.js';

/**
 * The Redis key of a key's windows. What is in braces decides the slot of a Redis Cluster; there is one Redis key
 * per API key, so a consumption is one script on one node. The number is the version of what is stored.
 */
export function redisKeyOf(apiKeyId: number | string): string {
  return `latchkey:rate-windows:1:{${apiKeyId}}`;
}

/**
 * The rule of `rate-windows.policy.ts` and `window-rings.policy.ts`, step by step, over the same 37 numbers; a test
 * compares them. It runs inside Redis, where no other consumption can come between its reading and its writing.
 *
 * KEYS[1] the windows. ARGV: the limits per minute, hour and day ('' for none), the cost, and the time in
 * milliseconds, which the service always leaves to Redis (''), so that the clocks of instances do not matter; only
 * tests say what time it is, and no caller's input comes near it. Optional, from ARGV[6] on, is what the instance knows
 * to be its own part: three sums below which the windows cannot be unless Redis has lost something, then three amounts
 * that it admitted while Redis was away. What is missing is counted before the request is, as consumed just now.
 *
 * Answers whether it was allowed (1 or 0), then for each window the sum and the milliseconds until its reset, then
 * whether something was lost (1 or 0).
 */
export const CONSUME_SCRIPT = `
local LAYOUT = '<${'I4'.repeat(37)}'
local TICK_MS, RING = 6000, 11
local TICKS = { 1, 60, 1440 }
local floor = math.floor

local now = tonumber(ARGV[5])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end

local words
local stored = redis.call('GET', KEYS[1])
if stored and #stored == 148 then
  words = { struct.unpack(LAYOUT, stored) }
else
  words = {}
  for i = 1, 37 do words[i] = 0 end
end

local newest, tick = words[1], floor(now / TICK_MS)
if tick == newest - 1 then
  tick = newest
elseif tick ~= newest then
  for window = 1, 3 do
    local from, to = floor(newest / TICKS[window]), floor(tick / TICKS[window])
    local sum, ring = words[1 + window], 5 + (window - 1) * RING
    if sum > 0 and from ~= to then
      if to < from or to - from >= RING then
        for i = ring, ring + RING - 1 do words[i] = 0 end
        if to < from then words[ring + to % RING] = sum else sum = 0 end
      else
        for bucket = from + 1, to do
          local i = ring + bucket % RING
          sum = sum - words[i]
          words[i] = 0
        end
      end
      words[1 + window] = sum
    end
  end
  words[1] = tick
end

local lost, changed = 0, false
if ARGV[6] then
  for window = 1, 3 do
    local sum = words[1 + window]
    local extra = tonumber(ARGV[8 + window] or 0)
    local missing = tonumber(ARGV[5 + window]) - sum - extra
    if missing > 0 then
      extra = extra + missing
      lost = 1
    end
    if extra > 4294967295 - sum then extra = 4294967295 - sum end
    if extra > 0 then
      local i = 5 + (window - 1) * RING + floor(tick / TICKS[window]) % RING
      words[i] = words[i] + extra
      words[1 + window] = sum + extra
      changed = true
    end
  end
end

local limits = { tonumber(ARGV[1]) or false, tonumber(ARGV[2]) or false, tonumber(ARGV[3]) or false }
local cost = tonumber(ARGV[4])
local needed = cost > 0 and cost or 1
local allowed = true
for window = 1, 3 do
  if limits[window] and words[1 + window] + needed > limits[window] then allowed = false end
end

if changed or (allowed and cost > 0) then
  local longest = 1
  for window = 1, 3 do
    if limits[window] and allowed then
      local i = 5 + (window - 1) * RING + floor(tick / TICKS[window]) % RING
      words[i] = words[i] + cost
      words[1 + window] = words[1 + window] + cost
    end
    if words[1 + window] > 0 then longest = window end
  end
  local ends = (floor(tick / TICKS[longest]) + RING) * TICKS[longest] * TICK_MS
  redis.call('SET', KEYS[1], struct.pack(LAYOUT, unpack(words)), 'PX', ends - now)
end

local reply = { allowed and 1 or 0 }
for window = 1, 3 do
  local sum, limit, reset = words[1 + window], limits[window], 0
  if limit and sum > 0 then
    local left = sum
    if not allowed and needed <= limit and sum + needed > limit then left = sum + needed - limit end
    local ring, last = 5 + (window - 1) * RING, floor(tick / TICKS[window])
    local bucket = last - RING
    repeat
      bucket = bucket + 1
      left = left - words[ring + bucket % RING]
    until left <= 0 or bucket == last
    reset = (bucket + RING) * TICKS[window] * TICK_MS - now
  end
  reply[window * 2] = sum
  reply[window * 2 + 1] = reset
end
reply[8] = lost
return reply
`;

/** True when the script found less in the windows than this instance had admitted. */
export function hasLost(reply: readonly number[]): boolean {
  return reply[7] === 1;
}

/** The Redis key whose value changes when a server has been emptied. */
export function epochKeyOf(tag: string): string {
  return `latchkey:rate-windows:epoch:{${tag}}`;
}

/**
 * Answers the epoch in KEYS[1], which is ARGV[1] from now on if there was none. It always writes: a server that is full
 * or a replica answers, and is of no use.
 */
export const EPOCH_SCRIPT = `
local epoch = redis.call('GET', KEYS[1]) or ARGV[1]
redis.call('SET', KEYS[1], epoch)
return epoch
`;

/** What the script is asked with, after its key; the part of the instance may follow. */
export function argumentsOf(policy: RateLimitPolicy, cost: number): (string | number)[] {
  return [policy.perMinute ?? '', policy.perHour ?? '', policy.perDay ?? '', cost, ''];
}

/** What the script answered, in this instance's time. */
export function outcomeOf(
  reply: readonly number[],
  policy: RateLimitPolicy,
  cost: number,
  nowMs: number,
): ConsumeOutcome {
  const limits = [policy.perMinute, policy.perHour, policy.perDay];
  const windows: WindowState[] = [];
  for (let index = 0; index < 3; index++) {
    const limit = limits[index] ?? null;
    if (limit === null) continue;
    const sum = reply[1 + 2 * index] as number;
    windows.push({
      window: WINDOW_NAMES[index] as (typeof WINDOW_NAMES)[number],
      limit,
      remaining: sum < limit ? limit - sum : 0,
      resetAtMs: nowMs + (reply[2 + 2 * index] as number),
    });
  }
  const allowed = reply[0] === 1;
  return {
    allowed,
    windows,
    retryAfterSeconds: allowed ? null : secondsUntilRoom(windows, cost === 0 ? 1 : cost, nowMs),
  };
}
