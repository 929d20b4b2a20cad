import { AsyncLocalStorage } from 'node:async_hooks';

/** What an operation is called (its OpenAPI operationId and its audit action) and what it acts on. */
export interface OperationName {
  readonly action: string;
  readonly resourceType: string;
}

/** Who is calling, as an audit row names them. */
export interface Actor {
  readonly userId: number;
  /** Set when the credential was an API key. */
  readonly apiKeyId: number | null;
}

/** What is known of the request being answered. Guards fill in `operation` and `actor` as they learn them. */
export interface RequestContext {
  readonly requestId: string;
  readonly clientAddress: string | undefined;
  readonly userAgent: string | undefined;
  operation?: OperationName;
  resourceId?: string;
  actor?: Actor;
}

const storage = new AsyncLocalStorage<RequestContext>();

/** Runs `work` as part of answering the request. */
export function runInRequestContext<Result>(context: RequestContext, work: () => Result): Result {
  return storage.run(context, work);
}

/** The context of the request being answered; undefined outside one (jobs, start-up). */
export function currentRequestContext(): RequestContext | undefined {
  return storage.getStore();
}
