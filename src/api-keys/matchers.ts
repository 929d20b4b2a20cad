import { AddressBlocks } from '../common/ip-address.js';

/** Names, exact or with `*` for any run of characters. */
export interface NameMatcher {
  readonly patterns: readonly string[];
  matches(name: string): boolean;
}

/** Undefined when the list is empty, which allows every name. */
export function nameMatcher(patterns: readonly string[]): NameMatcher | undefined {
  if (patterns.length === 0) return undefined;
  const exact = new Set(patterns.filter((pattern) => !pattern.includes('*')));
  const globs = patterns.filter((pattern) => pattern.includes('*'));
  const matches = (name: string) => exact.has(name) || globs.some((glob) => matchesGlob(glob, name));
  return { patterns, matches };
}

/**
 * Whether `name` matches a glob whose only special character is `*`. It remembers the last star and moves on from
 * there, so it takes at most length × length steps: a regular expression could be made to take for ever.
 */
export function matchesGlob(glob: string, name: string): boolean {
  let [globAt, nameAt, starAt, retryAt] = [0, 0, -1, 0];
  while (nameAt < name.length) {
    if (glob[globAt] === '*') {
      starAt = globAt;
      retryAt = nameAt;
      globAt += 1;
    } else if (glob[globAt] === name[nameAt]) {
      globAt += 1;
      nameAt += 1;
    } else if (starAt >= 0) {
      globAt = starAt + 1;
      retryAt += 1;
      nameAt = retryAt;
    } else {
      return false;
    }
  }
  while (glob[globAt] === '*') globAt += 1;
  return globAt === glob.length;
}

/** Addresses and CIDR blocks. */
export interface AddressMatcher {
  readonly entries: readonly string[];
  /** `address` is normalised: an IPv4-mapped one is IPv4. */
  matches(address: string): boolean;
}

/** Undefined when the list is empty, which allows every address. Compiled at its first use. */
export function addressMatcher(entries: readonly string[]): AddressMatcher | undefined {
  if (entries.length === 0) return undefined;
  let blocks: AddressBlocks | undefined;
  const matches = (address: string) => (blocks ??= new AddressBlocks(entries)).has(address);
  return { entries, matches };
}
