import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Authority } from '../common/authority.js';
import { Clock } from '../common/clock.js';
import { operationOf } from '../contract/operation.js';
import { isPublic } from '../contract/public.decorator.js';
import {
  type Actor,
  type Caller,
  currentRequestContext,
  type OperationName,
} from '../context/request-context.js';
import { type AccessRule, accessRuleOf, readsCredential } from './access.decorators.js';
import { requireOneOf } from './access.policy.js';
import { Admission, type Judge } from './admission.js';
import { Authenticator } from './authenticator.service.js';
import { presentsCredential } from './credentials.js';
import { OwnershipCheck } from './ownership-check.service.js';
import { type Reach, reachOf, requireReachStill } from './reach.js';
import { requireOneAnywhere } from './scope.policy.js';
import { ScopeCheck } from './scope-check.service.js';
import { actorOf, foundationOf, type Principal } from './principal.js';

/** A request that the guard has let through. */
export interface GuardedRequest extends FastifyRequest {
  principal?: Principal;
  operation?: OperationName | undefined;
  /** The principal as an audit row names it, for a request that has no context to keep it in. */
  actor?: Actor;
  admission?: Admission;
}

/** The caller as events and holds name it, the authority by which it reports them, and for which keys. */
export interface RequestReporter extends Actor {
  readonly authority: Authority;
  readonly reach: Reach;
}

/** A caller who reports by the permission that the route asks for. */
export function reporterOf(request: GuardedRequest, permission: string): RequestReporter {
  const { actor, admission, principal } = request;
  if (actor === undefined || admission === undefined || principal === undefined)
    throw new Error('A route that asks who reports must declare an access rule.');
  const reach = reachOf(principal, permission);
  return { userId: actor.userId, apiKeyId: actor.apiKeyId, authority: admission, reach };
}

/** A caller who reports by a permission that is needed beside the one that the route asks for. */
export function reporterAlsoNeeding(request: GuardedRequest, permission: string): RequestReporter {
  const { admission, principal } = request;
  const reporter = reporterOf(request, permission);
  if (admission === undefined || principal === undefined) return reporter;
  return { ...reporter, authority: admission.alsoNeeding(permission, principal) };
}

/** What a handler declares; read once, since reflection is slow. */
interface Declaration {
  /** Without a credential; one that is sent is judged where there is a rule. */
  readonly isPublic: boolean;
  readonly rule: AccessRule | undefined;
  readonly operation: OperationName | undefined;
}

/**
 * Stands before every route: finds out who calls and refuses who may not. A route without a rule answers nobody. It is
 * asked before the body of a request is read, and once more before the handler, when it judges again only if the
 * body took long to arrive.
 */
@Injectable()
export class AccessGuard implements CanActivate {
  readonly #declarations = new WeakMap<object, Declaration>();
  readonly #dataPlaneJudge: Judge;

  constructor(
    private readonly authenticator: Authenticator,
    private readonly ownership: OwnershipCheck,
    private readonly scopes: ScopeCheck,
    private readonly clock: Clock,
  ) {
    this.#dataPlaneJudge = {
      position: () => authenticator.position,
      nowMs: () => clock.nowMs(),
      judge: (context) => this.#judgeOnDataPlane(context),
    };
  }

  /** Synchronous for a caller of the data plane who is in memory. */
  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const request = context.switchToHttp().getRequest<GuardedRequest>();
    const handler = context.getHandler();
    if (this.isAdmitted(request, handler)) return true;
    const nowMs = this.clock.nowMs();
    const { position } = this.authenticator;
    const admitted = this.#judge(request, context);
    request.admission = new Admission(context, this.#dataPlaneJudge, nowMs, position);
    return admitted;
  }

  isAdmitted({ admission, operation }: GuardedRequest, handler: object): boolean {
    if (admission === undefined || !admission.isFor(handler, this.clock.nowMs())) return false;
    // To ask memory again costs little, and an ended credential may have been among the changes.
    return !operation?.isDataPlane || admission.isCurrent();
  }

  #judge(request: GuardedRequest, context: ExecutionContext): boolean | Promise<boolean> {
    const { isPublic: isOpen, rule, operation } = this.#declarationOf(context);
    request.operation = operation;
    if (operation?.isDataPlane) echoRequestId(request, context);
    else nameOperation(request);
    if (isOpen && !(rule !== undefined && presentsCredential(request.headers))) return true;
    if (rule === undefined) throw new Error(`${context.getHandler().name} declares no access rule.`);
    if (!operation?.isDataPlane) return this.#admitToControlPlane(request, context, rule);
    const principal = this.authenticator.fromMemory(request, context);
    if (principal instanceof Promise)
      return principal.then((found) => {
        admit(request, found, rule);
        return true;
      });
    admit(request, principal, rule);
    return true;
  }

  /** Asks the caches of callers once more. */
  async #judgeOnDataPlane(context: ExecutionContext): Promise<Principal> {
    const request = context.switchToHttp().getRequest<GuardedRequest>();
    const principal = await this.authenticator.fromMemory(request, context);
    const { rule } = this.#declarationOf(context);
    if (rule !== undefined) requireRule(principal, rule);
    if (rule?.kind === 'permission_in_scope' && request.principal !== undefined)
      requireReachStill(request.principal, principal, rule.permission);
    return principal;
  }

  async #admitToControlPlane(
    request: GuardedRequest,
    context: ExecutionContext,
    rule: AccessRule,
  ): Promise<boolean> {
    const { principal, readAgain, whileReading } = await this.authenticator.fromDatabase(request, context);
    const scope = await this.scopes.find(request, rule);
    const judged = (read: () => Promise<Principal>) => async () => {
      const now = await read();
      requireRule(now, rule);
      scope?.require(now);
      return now;
    };
    recordCaller({
      principal,
      restsOn: foundationOf(principal),
      judgeAgain: judged(readAgain),
      judgeWhileReading: judged(whileReading),
    });
    admit(request, principal, rule);
    if (rule.kind === 'owner_or_permission')
      await this.ownership.require(request, request.operation, principal, rule.permission);
    scope?.require(principal);
    return true;
  }

  #declarationOf(context: ExecutionContext): Declaration {
    const handler = context.getHandler();
    let declaration = this.#declarations.get(handler);
    if (declaration === undefined) {
      declaration = {
        isPublic: isPublic(handler, context.getClass()),
        rule: readsCredential(handler) ? { kind: 'authenticated' } : accessRuleOf(handler),
        operation: operationOf(handler),
      };
      this.#declarations.set(handler, declaration);
    }
    return declaration;
  }
}

function admit(request: GuardedRequest, principal: Principal, rule: AccessRule): void {
  request.principal = principal;
  const actor = actorOf(principal);
  request.actor = actor;
  if (!request.operation?.isDataPlane) recordActor(actor);
  requireRule(principal, rule);
}

/** What a route asks for beside its rule depends on whose things it touches, which its service decides. */
function requireRule(principal: Principal, rule: AccessRule): void {
  if (rule.kind === 'permission') requireOneOf(principal, rule.permission, rule.alternative);
  if (rule.kind === 'permission_in_scope' && rule.below === undefined)
    requireOneAnywhere(principal, rule.permission, rule.alternative);
}

function recordCaller(caller: Caller): void {
  const requestContext = currentRequestContext();
  if (requestContext !== undefined) requestContext.caller = caller;
}

function recordActor(actor: Actor): void {
  const requestContext = currentRequestContext();
  if (requestContext !== undefined) requestContext.actor = actor;
}

/** Elsewhere the hook that opens the request context does it. */
function echoRequestId(request: GuardedRequest, context: ExecutionContext): void {
  void context.switchToHttp().getResponse<FastifyReply>().header('x-request-id', request.id);
}

function nameOperation(request: GuardedRequest): void {
  const requestContext = currentRequestContext();
  if (requestContext === undefined || request.operation === undefined) return;
  requestContext.operation = request.operation;
  const { id } = request.params as { id?: string };
  if (id !== undefined && /^[\w-]{1,64}$/.test(id)) requestContext.resourceId = id;
}
