/** One request that was made with a key. */
export interface UsageEvent {
  readonly apiKeyId: number;
  /** Names the request: the same key, reporter and id count once. */
  readonly requestId: string;
  readonly endpoint: string;
  readonly method: string;
  readonly model: string | null;
  readonly requestTokens: number;
  readonly responseTokens: number;
  readonly costMicroCents: bigint;
  readonly statusCode: number | null;
  readonly responseTimeMs: number | null;
  readonly occurredAt: Date;
  /** The hold that this event settles. */
  readonly holdId: string | null;
  /** Of all that was told, as a signed 32 bit integer: by it a repeat with another content is noticed. */
  readonly contentDigest: number;
}

/** What became of an event: only an accepted one was recorded. `conflict`: a duplicate whose content is another. */
export type RecordStatus =
  'accepted' | 'duplicate' | 'conflict' | 'unknown_key' | 'unknown_hold' | 'hold_released' | 'hold_settled';
