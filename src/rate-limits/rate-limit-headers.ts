import { WINDOW_SECONDS, type WindowState } from './rate-windows.policy.js';

/**
 * The fields that tell a client where it stands, `RateLimit-Policy` and `RateLimit` of
 * draft-ietf-httpapi-ratelimit-headers-11; they are lists of structured fields (RFC 9651). None when no window is
 * set. `t` is the time until the window's reset, so that of a window that refused is never beyond `Retry-After`,
 * which is the seconds of the outcome.
 */
export function rateLimitHeaders(windows: readonly WindowState[], nowMs: number): Record<string, string> {
  if (windows.length === 0) return {};
  return {
    'ratelimit-policy': windows.map(policyItem).join(', '),
    ratelimit: windows.map((state) => limitItem(state, nowMs)).join(', '),
  };
}

function policyItem({ window, limit }: WindowState): string {
  return `"${window}";q=${limit};w=${WINDOW_SECONDS[window]}`;
}

function limitItem({ window, remaining, resetAtMs }: WindowState, nowMs: number): string {
  return `"${window}";r=${remaining};t=${Math.max(0, Math.ceil((resetAtMs - nowMs) / 1_000))}`;
}
