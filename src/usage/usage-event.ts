/** One request that was made with a key. */
export interface UsageEvent {
  readonly apiKeyId: number;
  /** Names the request: the same key and id count once. */
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
}

/** What became of an event; all but the first two were not recorded. `uncountable`: a sum would pass 64 bits. */
export type RecordStatus =
  | 'accepted'
  | 'duplicate'
  | 'uncountable'
  | 'unknown_key'
  | 'unknown_hold'
  | 'hold_released'
  | 'hold_settled';
