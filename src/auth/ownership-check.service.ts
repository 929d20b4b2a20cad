import { Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { validationFailed } from '../common/app-error.js';
import { idCheck, integerFromText } from '../contract/fields.js';
import type { OperationName } from '../context/request-context.js';
import { hasBody } from '../http/unread-body.js';
import { requireOwnerOr } from './access.policy.js';
import { ApiKeyOwners } from './api-key-owners.js';
import { grants } from './permission.policy.js';
import type { Principal } from './principal.js';
import { requireOwnerOrIn } from './scope.policy.js';

/**
 * Decides `@OwnerOrPermission` before a body is read, so that only callers who may use a body make the service read one.
 * The service decides again in its transaction: what changes hands meanwhile counts there.
 */
@Injectable()
export class OwnershipCheck {
  constructor(private readonly apiKeyOwners: ApiKeyOwners) {}

  /**
   * Reads nothing for requests without a body and for holders of the permission. A kind of resource whose owner cannot be
   * read here is a fault of the route.
   * @throws AppError `permission.denied`, `api_key.not_found`, `validation.failed`
   */
  async require(
    request: FastifyRequest,
    operation: OperationName | undefined,
    principal: Principal,
    permission: string,
  ): Promise<void> {
    if (!isBodyRead(request) || grants(principal.permissions, permission)) return;
    const { id: text } = request.params as { readonly id?: string };
    if (text === undefined) return;
    const id = integerFromText(text) as number;
    const problem = idCheck(id);
    if (problem !== undefined) throw validationFailed([{ field: 'id', message: problem }]);
    const resourceType = operation?.resourceType;
    if (resourceType === 'user') requireOwnerOr(principal, id, permission);
    else if (resourceType === 'api_key')
      requireOwnerOrIn(
        principal,
        await this.apiKeyOwners.ownerOf(id),
        permission,
        this.apiKeyOwners.notFound,
      );
    else
      throw new Error(`A body cannot be admitted by ownership of ${resourceType ?? 'an unnamed resource'}.`);
  }
}

function isBodyRead(request: FastifyRequest): boolean {
  return request.method !== 'GET' && request.method !== 'HEAD' && hasBody(request);
}
