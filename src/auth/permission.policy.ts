/**
 * Permissions are `namespace:resource:action`. In a held permission `*` stands for one segment, and as the last
 * segment for one or more: `platform:*` grants `platform:api-keys:read`.
 */
const WILDCARD = '*';

/** Shape of a permission as it may be given to a user. */
export const PERMISSION_PATTERN = /^([a-z0-9_-]+|\*)(:([a-z0-9_-]+|\*)){0,7}$/;

/** The first segment of every permission that means something to this service. */
export const PLATFORM_NAMESPACE = 'platform:';

/** True when one of `held` grants everything that `wanted`, itself perhaps with wildcards, grants. */
export function grants(held: readonly string[], wanted: string): boolean {
  return held.some((permission) => covers(permission, wanted));
}

/** Those of `wanted` that `held` does not grant. */
export function lacking(held: readonly string[], wanted: readonly string[]): string[] {
  return wanted.filter((permission) => !grants(held, permission));
}

/** What two sets of permissions both grant, as permissions again. */
export function intersection(a: readonly string[], b: readonly string[]): string[] {
  const common = new Set<string>();
  for (const first of a) {
    for (const second of b) {
      const both = meet(first.split(':'), second.split(':'));
      if (both !== undefined) common.add(both.join(':'));
    }
  }
  return [...common];
}

function covers(held: string, wanted: string): boolean {
  if (held === wanted) return true;
  const heldSegments = held.split(':');
  const wantedSegments = wanted.split(':');
  const last = heldSegments.length - 1;
  for (const [index, segment] of heldSegments.entries()) {
    const other = wantedSegments[index];
    if (other === undefined) return false;
    if (segment === WILDCARD && index === last) return true;
    const isOpenEnd = other === WILDCARD && index === wantedSegments.length - 1;
    if (segment === WILDCARD ? isOpenEnd : segment !== other) return false;
  }
  return wantedSegments.length === heldSegments.length;
}

function meet(a: readonly string[], b: readonly string[]): string[] | undefined {
  const [first, second] = [a[0], b[0]];
  if (first === undefined || second === undefined) return undefined;
  if (first === WILDCARD && a.length === 1) return [...b];
  if (second === WILDCARD && b.length === 1) return [...a];
  if (first !== second && first !== WILDCARD && second !== WILDCARD) return undefined;
  const segment = first === WILDCARD ? second : first;
  if (a.length === 1 || b.length === 1) return a.length === b.length ? [segment] : undefined;
  const rest = meet(a.slice(1), b.slice(1));
  return rest === undefined ? undefined : [segment, ...rest];
}
