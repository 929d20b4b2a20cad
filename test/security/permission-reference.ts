/*
 * The meaning of permissions, by brute force: a permission with wildcards is the set of those without that it
 * matches. `FRESH` stands for all the names that no permission under test mentions.
 */
const FRESH = 'fresh';

/** Every permission without wildcards of 1 to `longest` of the given segments or `FRESH`. */
export function universe(segments: readonly string[], longest: number): string[][] {
  let level: string[][] = [[]];
  const all: string[][] = [];
  for (let length = 1; length <= longest; length += 1) {
    level = level.flatMap((permission) => [...segments, FRESH].map((segment) => [...permission, segment]));
    all.push(...level);
  }
  return all;
}

/** Those of the universe that at least one of the permissions matches. */
export function meaning(permissions: readonly string[], everything: readonly string[][]): Set<string> {
  const matching = everything.filter((one) => permissions.some((held) => matches(held.split(':'), one)));
  return new Set(matching.map((one) => one.join(':')));
}

/** True when everything that `wanted` means is meant by `held` too. */
export function isWithin(
  wanted: readonly string[],
  held: readonly string[],
  everything: readonly string[][],
): boolean {
  const allowed = meaning(held, everything);
  return [...meaning(wanted, everything)].every((one) => allowed.has(one));
}

/** product.md §2: `*` stands for one segment, and as the last segment for one or more. */
function matches(pattern: readonly string[], permission: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  const [segment, ...others] = permission;
  if (first === undefined) return segment === undefined;
  if (segment === undefined) return false;
  if (first === '*' && rest.length === 0) return true;
  return (first === '*' || first === segment) && matches(rest, others);
}
