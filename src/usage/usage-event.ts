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
  /** Digest of the reported fields as a signed 32 bit integer: a repeat with other content has another one. */
  readonly contentDigest: number;
}

/** The result for an event: only an accepted one was recorded. `conflict`: a duplicate with other content. */
export type RecordStatus =
  'accepted' | 'duplicate' | 'conflict' | 'unknown_key' | 'unknown_hold' | 'hold_released' | 'hold_settled';
