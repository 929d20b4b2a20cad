/**
 * What caches hold and must forget when it changes: a row of `change_feed` names one thing of one of these kinds. Another
 * kind also needs its name in the check of that table, and a trigger that notes its changes.
 */
export const CHANGED_KINDS = ['api_key', 'user', 'project', 'organization'] as const;

export type ChangedKind = (typeof CHANGED_KINDS)[number];

/** Something that caches must forget. */
export type Change = { readonly kind: ChangedKind; readonly id: number } | { readonly kind: 'everything' };

export const EVERYTHING: Change = { kind: 'everything' };

/** One row of the feed. What this version does not know may be anything. */
export function toChange({ kind, id }: { readonly kind: string | null; readonly id: number | null }): Change {
  const known = CHANGED_KINDS.find((name) => name === kind);
  return known === undefined || id === null ? EVERYTHING : { kind: known, id };
}
