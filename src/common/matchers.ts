import { AddressBlocks } from './ip-address.js';

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
 * apart. Each is matched at its first place, which leaves most to those after it. They are searched as plain text: a
 * hostile regular expression could take for ever, and a loop over characters takes length × length steps.
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

/**
 * Tells whether a pattern matches nothing beyond what one of `patterns` matches. A star of the pattern stands for text
 * that could be anything, so only a star can cover it: what is left is to match the pattern as a text. Since some text
 * of its star occurs in no other pattern, that is exact for the whole list as well.
 */
export function patternCover(patterns: readonly string[]): (pattern: string) => boolean {
  const exact = new Set(patterns);
  const globs = patterns.filter((pattern) => pattern.includes('*')).map((pattern) => pattern.split('*'));
  return (pattern) => exact.has(pattern) || globs.some((parts) => fits(parts, pattern));
}

/**
 * Names that both allow. Its patterns are those of either that lie within the other's: they show what is allowed, and
 * where two patterns overlap in part they show less than that. They are compared only when they are read.
 */
export function commonNames(a: NameMatcher | undefined, b: NameMatcher | undefined): NameMatcher | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  let patterns: readonly string[] | undefined;
  return {
    get patterns() {
      return (patterns ??= common(a.patterns, b.patterns, patternCover));
    },
    matches: (name) => a.matches(name) && b.matches(name),
  };
}

/** Addresses that both allow. Of two blocks one holds the other, or they are apart: its entries are exact. */
export function commonAddresses(
  a: AddressMatcher | undefined,
  b: AddressMatcher | undefined,
): AddressMatcher | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  let entries: readonly string[] | undefined;
  return {
    get entries() {
      return (entries ??= common(a.entries, b.entries, addressCover));
    },
    matches: (address) => a.matches(address) && b.matches(address),
  };
}

/** Tells whether every address of an entry lies in one of `entries`. */
export function addressCover(entries: readonly string[]): (entry: string) => boolean {
  const blocks = new AddressBlocks(entries);
  return (entry) => blocks.covers(entry);
}

type Cover = (entries: readonly string[]) => (entry: string) => boolean;

function common(a: readonly string[], b: readonly string[], cover: Cover): string[] {
  return [...new Set([...a.filter(cover(b)), ...b.filter(cover(a))])];
}

/** Addresses and CIDR blocks. */
export interface AddressMatcher {
  readonly entries: readonly string[];
  /** `address` is normalized: an IPv4-mapped one is IPv4. */
  matches(address: string): boolean;
}

/** Undefined when the list is empty, which allows every address. Compiled at its first use. */
export function addressMatcher(entries: readonly string[]): AddressMatcher | undefined {
  if (entries.length === 0) return undefined;
  let blocks: AddressBlocks | undefined;
  const matches = (address: string) => (blocks ??= new AddressBlocks(entries)).has(address);
  return { entries, matches };
}
