import { applyDecorators, createParamDecorator, type ExecutionContext, SetMetadata } from '@nestjs/common';
import { ApiBearerAuth, ApiExtension, ApiSecurity } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { Public } from '../contract/public.decorator.js';
import type { Permission } from './permissions.js';
import type { Principal } from './principal.js';

const ACCESS_RULE = 'latchkey:access-rule';
const OPTIONAL = 'latchkey:optional-credential';

/** What the `id` of a path may name that has members. */
export type ScopeKind = 'organization' | 'project';

/**
 * What a route asks of its caller. `permission`: the guard refuses callers without it. `owner_or_permission`: the
 * service decides in its transaction; for a caller without the permission who sends a body, the guard also decides before
 * reading it. `permission_in_scope`: on a route below an organization or a project the guard refuses callers who do not hold
 * the permission there; elsewhere those who hold it nowhere, and the service decides. `authenticated`: any caller
 * with a valid credential.
 */
export type AccessRule =
  | { readonly kind: 'permission'; readonly permission: Permission; readonly alternative?: Permission }
  | { readonly kind: 'owner_or_permission'; readonly permission: Permission }
  | {
      readonly kind: 'permission_in_scope';
      readonly permission: Permission;
      /** What does as well. */
      readonly alternative?: Permission;
      /** What the `id` of the path names. */
      readonly below?: ScopeKind;
      /** A member may do it without the permission when the `user_id` of the path is their own. */
      readonly orSelf?: true;
    }
  | { readonly kind: 'authenticated' };

/** Only callers who hold the permission, or its alternative where one is given. */
export function RequirePermission(permission: Permission, alternative?: Permission): MethodDecorator {
  return declare({ kind: 'permission', permission, ...(alternative === undefined ? {} : { alternative }) });
}

/** Only callers who hold the permission somewhere, or its alternative: the service does it where they hold it. */
export function RequirePermissionSomewhere(
  permission: Permission,
  alternative?: Permission,
): MethodDecorator {
  return declare({
    kind: 'permission_in_scope',
    permission,
    ...(alternative === undefined ? {} : { alternative }),
  });
}

/** The owner of the thing (with a session), or callers who hold the permission. */
export function OwnerOrPermission(permission: Permission): MethodDecorator {
  return declare({ kind: 'owner_or_permission', permission });
}

/** Only callers who hold the permission in the organization or project that the `id` of the path names. */
export function RequirePermissionInScope(permission: Permission, below: ScopeKind): MethodDecorator {
  return declare({ kind: 'permission_in_scope', permission, below });
}

/** The same, and for a route that names a member also that member with a session. */
export function SelfOrPermissionInScope(permission: Permission, below: ScopeKind): MethodDecorator {
  return declare({ kind: 'permission_in_scope', permission, below, orSelf: true });
}

/** Anyone; a credential that is sent must be valid, and its principal is known. */
export function OptionallyAuthenticated(): MethodDecorator {
  return applyDecorators(
    Public(),
    SetMetadata(OPTIONAL, true),
    ApiBearerAuth('accessToken'),
    ApiSecurity({}),
  );
}

/** Any caller with a valid credential. */
export function Authenticated(): MethodDecorator {
  return declare({ kind: 'authenticated' });
}

/** The access rule that a handler declares; undefined when it declares none. */
export function accessRuleOf(handler: object): AccessRule | undefined {
  return Reflect.getMetadata(ACCESS_RULE, handler) as AccessRule | undefined;
}

/** Whether a public route judges a credential that is sent. */
export function readsCredential(handler: object): boolean {
  return Reflect.getMetadata(OPTIONAL, handler) === true;
}

/** The principal that the guard found. */
export const CurrentPrincipal = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Principal => {
    const { principal } = context.switchToHttp().getRequest<FastifyRequest & { principal?: Principal }>();
    if (principal === undefined)
      throw new Error('A route that asks for the principal must declare an access rule.');
    return principal;
  },
);

/** The principal that the guard found; undefined where no credential was sent. */
export const OptionalPrincipal = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Principal | undefined =>
    context.switchToHttp().getRequest<FastifyRequest & { principal?: Principal }>().principal,
);

function declare(rule: AccessRule): MethodDecorator {
  return applyDecorators(
    SetMetadata(ACCESS_RULE, rule),
    ApiBearerAuth('accessToken'),
    ApiSecurity('apiKeyHeader'),
    ApiExtension('x-access-rule', rule),
  );
}
