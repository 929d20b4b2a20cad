import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AppError } from '../common/app-error.js';
import { Config } from '../config/config.js';
import { operationOf } from '../http/operation.js';
import { isPublic } from '../http/public.decorator.js';
import { currentRequestContext } from '../http/request-context.js';
import { accessRuleOf } from './access.decorators.js';
import { requirePermission } from './access.policy.js';
import { ApiKeyAuthenticator } from './api-key-authenticator.js';
import { presentedCredential } from './credentials.js';
import { AccessTokenGuard } from './jwt.strategy.js';
import type { Principal } from './principal.js';

type GuardedRequest = FastifyRequest & { principal?: Principal; params: { id?: string } };

/** Stands before every route: finds out who calls and refuses who may not. A route without a rule answers nobody. */
@Injectable()
export class AccessGuard implements CanActivate {
  readonly #apiKeyPrefixes: readonly string[];

  constructor(
    config: Config,
    private readonly accessTokens: AccessTokenGuard,
    private readonly apiKeys: ApiKeyAuthenticator,
  ) {
    this.#apiKeyPrefixes = [config.apiKeyPrefix, ...config.apiKeyFormerPrefixes];
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const handler = context.getHandler();
    const request = context.switchToHttp().getRequest<GuardedRequest>();
    this.#nameOperation(handler, request);
    if (isPublic(handler, context.getClass())) return true;
    const rule = accessRuleOf(handler);
    if (rule === undefined)
      throw new Error(`${context.getClass().name}.${handler.name} declares no access rule.`);
    const principal = await this.#principal(context, request);
    request.principal = principal;
    this.#nameActor(principal);
    if (rule.kind === 'permission') requirePermission(principal, rule.permission);
    return true;
  }

  async #principal(context: ExecutionContext, request: GuardedRequest): Promise<Principal> {
    const credential = presentedCredential(request.headers, this.#apiKeyPrefixes);
    if (credential.kind === 'access_token') return this.accessTokens.authenticate(context);
    const principal = await this.apiKeys.authenticate(
      credential.secret,
      currentRequestContext()?.clientAddress,
    );
    if (principal === undefined) throw new AppError('auth.credential_invalid', 'The API key is not valid.');
    return principal;
  }

  #nameOperation(handler: object, request: GuardedRequest): void {
    const requestContext = currentRequestContext();
    const operation = operationOf(handler);
    if (requestContext === undefined || operation === undefined) return;
    requestContext.operation = operation;
    const { id } = request.params;
    if (id !== undefined && /^[\w-]{1,64}$/.test(id)) requestContext.resourceId = id;
  }

  #nameActor(principal: Principal): void {
    const requestContext = currentRequestContext();
    if (requestContext === undefined) return;
    const { credential, userId } = principal;
    requestContext.actor = { userId, apiKeyId: credential.kind === 'api_key' ? credential.apiKeyId : null };
  }
}
