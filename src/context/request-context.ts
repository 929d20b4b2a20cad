import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage } from 'node:http';

/** What an operation is called (its OpenAPI operationId and its audit action) and what it acts on. */
export interface OperationName {
  readonly action: string;
  readonly resourceType: string;
  readonly isDataPlane: boolean;
}

/** Who is calling, as an audit row names them. */
export interface Actor {
  readonly userId: number;
  /** Set when the credential was an API key. */
  readonly apiKeyId: number | null;
}

/** On whose behalf the request makes changes. */
export interface Caller {
  /** As the guard authenticated them. */
  readonly principal: object;
  /** The API keys that their authority rests on. */
  readonly apiKeyIds: readonly number[];
  /**
   * The same, read again from what is committed now; throws what the guard would throw. It is called while a change
   * holds a connection, and uses another pool.
   */
  judgeAgain(): Promise<object>;
}

/** What is known of the request being answered. Guards fill in the rest as they learn it. */
export interface RequestContext {
  readonly requestId: string;
  readonly clientAddress: string | undefined;
  readonly userAgent: string | undefined;
  operation?: OperationName;
  resourceId?: string;
  actor?: Actor;
  caller?: Caller;
  /** The code of the problem document that the request is answered with. */
  problemCode?: string;
}

const storage = new AsyncLocalStorage<RequestContext>();
const contexts = new WeakMap<IncomingMessage, RequestContext>();

/** Begins a request: `work`, and whatever it calls, can ask for `currentRequestContext`. */
export function openRequestContext(
  request: IncomingMessage,
  context: RequestContext,
  work: () => void,
): void {
  contexts.set(request, context);
  storage.run(context, work);
}

/** Goes on in the request's context after a callback of its connection, which belongs to no request. */
export function resumeRequestContext(request: IncomingMessage, work: () => void): void {
  const context = contexts.get(request);
  if (context === undefined) work();
  else storage.run(context, work);
}

/** The context of a request, wherever one is; undefined when none was opened for it. */
export function requestContextOf(request: IncomingMessage): RequestContext | undefined {
  return contexts.get(request);
}

/** The context of the request being answered; undefined outside one (jobs, start-up). */
export function currentRequestContext(): RequestContext | undefined {
  return storage.getStore();
}
