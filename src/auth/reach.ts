import { denied } from './access.policy.js';
import type { Principal } from './principal.js';
import { covers, type Scope, scopesOf } from './scope.policy.js';

/** The scopes in which a caller of the data plane may judge, charge or hold keys; undefined for everywhere. */
export type Reach = readonly Scope[] | undefined;

/** By principal and permission: a principal that is in memory stays the same object from request to request. */
const known = new WeakMap<Principal, Map<string, Reach>>();

/** Where the principal holds a permission. It is computed once for each principal. */
export function reachOf(principal: Principal, permission: string): Reach {
  let reaches = known.get(principal);
  if (reaches === undefined) {
    reaches = new Map();
    known.set(principal, reaches);
  }
  if (!reaches.has(permission)) reaches.set(permission, scopesOf(principal, permission));
  return reaches.get(permission);
}

/** Whether a place lies within a reach. */
export function isReached(reach: Reach, place: Scope): boolean {
  return reach === undefined || reach.some((scope) => covers(scope, place));
}

/** What lies within both. */
export function commonReach(first: Reach, second: Reach): Reach {
  if (first === undefined || second === undefined) return first ?? second;
  return first.flatMap((one) =>
    second.flatMap((other) => {
      if (covers(one, other)) return [other];
      return covers(other, one) ? [one] : [];
    }),
  );
}

/**
 * A principal that was admitted must still reach all that it reached then.
 * @throws AppError `permission.denied`
 */
export function requireReachStill(before: Principal, now: Principal, permission: string): void {
  const [had, has] = [reachOf(before, permission), reachOf(now, permission)];
  const reachesAll = has === undefined || had?.every((scope) => isReached(has, scope)) === true;
  if (!reachesAll) throw denied(`The permission ${permission} is needed.`);
}
