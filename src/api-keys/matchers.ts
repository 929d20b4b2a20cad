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
  const globs = patterns.filter((pattern) => pattern.includes('*')).map((pattern) => pattern.split('*'));
  const matches = (name: string) => exact.has(name) || globs.some((parts) => fits(parts, name));
  return { patterns, matches };
}

/** Whether `name` matches a glob whose only special character is `*`. */
export function matchesGlob(glob: string, name: string): boolean {
  return glob.includes('*') ? fits(glob.split('*'), name) : glob === name;
}

/**
 * Whether a name begins with the first part of a glob, ends with its last, and has the others between, in their order and
 * apart. Each is taken where it comes first, which leaves most to those after it. Searched for as texts: a regular
 * expression could be made to take for ever, and a loop over characters takes length × length steps.
 */
function fits(parts: readonly string[], name: string): boolean {
  const [first = '', ...others] = parts;
  const last = others.pop() ?? '';
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last))
    return false;
  const end = name.length - last.length;
  let at = first.length;
  for (const part of others) {
    if (part === '') continue;
    const found = name.indexOf(part, at);
    if (found === -1 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
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
