import { AppError } from '../common/app-error.js';
import { denied, isOwner, requireHeldAmong } from './access.policy.js';
import { grants, intersection, lacking } from './permission.policy.js';
import type { Principal, ScopedPermissions } from './principal.js';

/*
 * What a principal may do where. Permissions count everywhere, those of a membership in its organization or project alone.
 */

/** An organization, or one of its projects. */
export interface Scope {
  readonly organizationId: number;
  /** Null: the whole organization. */
  readonly projectId: number | null;
}

/** A project with its organization: where a key is. */
export interface ProjectScope extends Scope {
  readonly projectId: number;
}

/** Where everything is that names no other place. */
export const DEFAULT_SCOPE: ProjectScope = { organizationId: 1, projectId: 1 };

/** What a service account may hold in its whole organization; all else it holds in its project. */
export const DATA_PLANE_PERMISSIONS: readonly string[] = ['platform:api-keys:verify', 'platform:usage:write'];

/** The permissions of a principal, without who it is. */
export interface HeldPermissions {
  /** Everywhere. */
  readonly permissions: readonly string[];
  readonly scoped: readonly ScopedPermissions[];
}

/** Something that has an owner and a place. */
export interface OwnedThing extends ProjectScope {
  readonly userId: number;
}

/** Whether all of `inner` lies in `outer`. */
export function covers(outer: Scope, inner: Scope): boolean {
  if (outer.organizationId !== inner.organizationId) return false;
  return outer.projectId === null || outer.projectId === inner.projectId;
}

/** All that the principal holds in a scope. */
function permissionsIn({ permissions, scoped }: HeldPermissions, scope: Scope): readonly string[] {
  return [
    ...permissions,
    ...scoped.filter((held) => covers(held, scope)).flatMap((held) => held.permissions),
  ];
}

/** Whether the principal holds a permission in a scope. */
function holdsIn(principal: Principal, scope: Scope, permission: string): boolean {
  if (grants(principal.permissions, permission)) return true;
  return principal.scoped.some((held) => covers(held, scope) && grants(held.permissions, permission));
}

/** Whether somebody holds each of these permissions in a scope. */
export function areHeldIn(held: HeldPermissions, scope: Scope, permissions: readonly string[]): boolean {
  return lacking(permissionsIn(held, scope), permissions).length === 0;
}

/** Whether the principal holds a permission anywhere. */
export function holdsAnywhere(principal: Principal, permission: string): boolean {
  if (grants(principal.permissions, permission)) return true;
  return principal.scoped.some((held) => grants(held.permissions, permission));
}

/** The scopes in which the principal holds a permission; undefined for everywhere. */
export function scopesOf(principal: Principal, permission: string): readonly Scope[] | undefined {
  if (grants(principal.permissions, permission)) return undefined;
  return principal.scoped.filter((held) => grants(held.permissions, permission));
}

/** Whether the principal belongs to an organization, or to a project of it. */
export function isMember({ scoped }: Principal, organizationId: number): boolean {
  return scoped.some((held) => held.organizationId === organizationId);
}

/** Whether the principal belongs to all of a scope. */
function isInside({ scoped }: Principal, scope: Scope): boolean {
  return scoped.some((held) => covers(held, scope));
}

/** Ownership counts for a person with a session, and only where they belong. */
export function isOwnerOf(principal: Principal, thing: OwnedThing): boolean {
  return isOwner(principal, thing.userId) && isInside(principal, thing);
}

/**
 * Who belongs to the organization, or may read what is there, learns that they may not do this; to others it does not exist.
 * @throws AppError `permission.denied`, or `notFound`
 */
export function requireIn(
  principal: Principal,
  scope: Scope,
  permission: string,
  notFound: () => AppError,
): void {
  if (holdsIn(principal, scope, permission)) return;
  const reading = permission.replace(/:[^:]+$/, ':read');
  if (!isMember(principal, scope.organizationId) && !holdsIn(principal, scope, reading)) throw notFound();
  throw denied(`The permission ${permission} is needed.`);
}

/** @throws AppError `permission.denied` for a caller who holds the permission nowhere */
export function requireAnywhere(principal: Principal, permission: string): void {
  if (!holdsAnywhere(principal, permission)) throw denied(`The permission ${permission} is needed.`);
}

/** The same with an alternative, where there is one. @throws AppError `permission.denied` */
export function requireOneAnywhere(
  principal: Principal,
  permission: string,
  alternative: string | undefined,
): void {
  if (alternative !== undefined && holdsAnywhere(principal, alternative)) return;
  requireAnywhere(principal, permission);
}

/** As `requireIn`, but the owner of a thing may do it as well. */
export function requireOwnerOrIn(
  principal: Principal,
  thing: OwnedThing,
  permission: string,
  notFound: () => AppError,
): void {
  if (!isOwnerOf(principal, thing)) requireIn(principal, thing, permission, notFound);
}

/**
 * Nobody gives away what they lack there.
 * @throws AppError `permission.denied` naming the permissions beyond the caller's own in the scope
 */
export function requireHeldIn(principal: Principal, scope: Scope, permissions: readonly string[]): void {
  requireHeldAmong(permissionsIn(principal, scope), permissions);
}

/**
 * The same for what a service account is given: that on the data plane counts in its whole organization.
 * @throws AppError `permission.denied`
 */
export function requireHeldForService(
  principal: Principal,
  { organizationId, projectId }: ProjectScope,
  permissions: readonly string[],
): void {
  requireHeldIn(principal, { organizationId, projectId }, permissions);
  const wide = intersection(permissions, DATA_PLANE_PERMISSIONS);
  requireHeldIn(principal, { organizationId, projectId: null }, wide);
}
