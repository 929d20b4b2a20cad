/** One request of a load. */
export interface LoadRequest {
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
}

/** The requests of a load: of one method, sent in turn, over and over. */
export interface RequestPlan {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Sent with each. */
  readonly headers: Readonly<Record<string, string>>;
  readonly requests: readonly LoadRequest[];
}

/** A load: every connection sends its next request when the last is answered. */
export interface LoadPlan extends RequestPlan {
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
}

/** What came of a load. */
export interface LoadResult {
  readonly requestsPerSecond: number;
  readonly answered: number;
  /** Answers by status, of those that are not 2xx. */
  readonly refused: Readonly<Record<string, number>>;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}
