import { AsyncLocalStorage } from 'node:async_hooks';

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

/** A thing whose change may take authority from callers. */
export interface AuthorityPart {
  readonly kind: 'api_key' | 'project' | 'organization';
  readonly id: number;
}

/** On whose behalf the request makes changes. */
export interface Caller {
  /** As the guard authenticated them. */
  readonly principal: object;
  /** What their authority rests on beside their user: for an API key its line and its place. */
  readonly restsOn: readonly AuthorityPart[];
  /**
   * The same, read again from what is committed now; throws what the guard would throw. It is called while a change
   * holds a connection, and uses another pool.
   */
  judgeAgain(): Promise<object>;
  /** The same for a long read that goes on: an access token may have expired since, but not have been ended. */
  judgeWhileReading(): Promise<object>;
}

/** What is known of the request being answered. Guards fill in the rest as they learn it. */
export interface RequestContext {
  /** Undefined in what several requests have in common. */
  readonly requestId: string | undefined;
  readonly clientAddress: string | undefined;
  readonly userAgent: string | undefined;
  operation?: OperationName;
  resourceId?: string;
  /** The organization that the request turned out to be about. */
  organizationId?: number;
  actor?: Actor;
  caller?: Caller;
  /** The code of the problem document that the request is answered with. */
  problemCode?: string;
}

const storage = new AsyncLocalStorage<RequestContext>();
/** By the object that stands for a request. */
const contexts = new WeakMap<object, RequestContext>();

/** Begins a request: `work`, and whatever it calls, can ask for `currentRequestContext`. */
export function openRequestContext(request: object, context: RequestContext, work: () => void): void {
  contexts.set(request, context);
  storage.run(context, work);
}

/** Goes on in the request's context after a callback of its connection, which belongs to no request. */
export function resumeRequestContext(request: object, work: () => void): void {
  const context = contexts.get(request);
  if (context === undefined) work();
  else storage.run(context, work);
}

/** The context of a request, wherever one is; undefined when none was opened for it. */
export function requestContextOf(request: object): RequestContext | undefined {
  return contexts.get(request);
}

/** The context of the request being answered; undefined outside one (jobs, start-up). */
export function currentRequestContext(): RequestContext | undefined {
  return storage.getStore();
}

/** Notes which organization the current request is about, for its audit rows. */
export function nameOrganization(organizationId: number): void {
  const context = storage.getStore();
  if (context !== undefined) context.organizationId = organizationId;
}

/** Runs `work` as a part of a request that may be over, or of none. */
export function runInContext<Result>(context: RequestContext | undefined, work: () => Result): Result {
  return context === undefined ? storage.exit(work) : storage.run(context, work);
}

/** What two requests have in common: where they differ, nothing is said. */
export function commonContext(
  one: RequestContext | undefined,
  other: RequestContext | undefined,
): RequestContext | undefined {
  if (one === undefined || other === undefined) return undefined;
  const same = <Field extends 'requestId' | 'clientAddress' | 'userAgent'>(field: Field) =>
    one[field] === other[field] ? one[field] : undefined;
  const common: RequestContext = {
    requestId: same('requestId'),
    clientAddress: same('clientAddress'),
    userAgent: same('userAgent'),
  };
  const [actor, otherActor] = [one.actor, other.actor];
  if (actor !== undefined && actor.userId === otherActor?.userId) {
    const apiKeyId = actor.apiKeyId === otherActor.apiKeyId ? actor.apiKeyId : null;
    common.actor = { userId: actor.userId, apiKeyId };
  }
  return common;
}
