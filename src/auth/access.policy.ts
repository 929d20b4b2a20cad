import { AppError } from '../common/app-error.js';
import { grants, lacking, PLATFORM_NAMESPACE } from './permission.policy.js';
import type { Principal } from './principal.js';

/** Ownership counts only for a person with a session; an API key needs the permission even for its owner's things. */
export function isOwner(principal: Principal, ownerId: number): boolean {
  return principal.credential.kind === 'session' && principal.userId === ownerId;
}

/** @throws AppError `permission.denied` */
export function requirePermission(principal: Principal, permission: string): void {
  if (!grants(principal.permissions, permission)) throw denied(`The permission ${permission} is needed.`);
}

/** @throws AppError `permission.denied` unless the caller holds the permission, or its alternative where there is one */
export function requireOneOf(
  principal: Principal,
  permission: string,
  alternative: string | undefined,
): void {
  if (alternative !== undefined && grants(principal.permissions, alternative)) return;
  requirePermission(principal, permission);
}

/** @throws AppError `permission.denied` unless the caller owns the thing or holds the permission */
export function requireOwnerOr(principal: Principal, ownerId: number, permission: string): void {
  if (!isOwner(principal, ownerId)) requirePermission(principal, permission);
}

/**
 * Nobody gives away what they lack.
 * @throws AppError `permission.denied` naming the permissions beyond the caller's own
 */
export function requireHeld(principal: Principal, permissions: readonly string[]): void {
  requireHeldAmong(principal.permissions, permissions);
}

/** The same by what the caller holds. */
export function requireHeldAmong(held: readonly string[], permissions: readonly string[]): void {
  const missing = lacking(held, permissions);
  if (missing.length === 0) return;
  const others = missing.length > MOST_NAMED ? ` and ${missing.length - MOST_NAMED} others` : '';
  const named = missing.slice(0, MOST_NAMED).join(', ');
  throw denied(`This needs permissions that you do not hold: ${named}${others}.`);
}

/** The scopes of an API key that mean something to this service itself. */
export function platformScopes(scopes: readonly string[]): string[] {
  return scopes.filter((scope) => scope.startsWith(PLATFORM_NAMESPACE));
}

const MOST_NAMED = 10;

/** The refusal of what the caller may not do. */
export function denied(detail: string): AppError {
  return new AppError('permission.denied', detail);
}
