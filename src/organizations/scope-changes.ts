import type { EventValue } from '../events/event-values.js';

/** What a create says of an organization or a project. */
export interface NewScope {
  readonly slug: string;
  readonly name: string;
  readonly externalId: string | null;
}

/** The fields that an update wants changed; absent ones are `undefined`. */
export interface ScopeUpdate {
  readonly slug?: string | undefined;
  readonly name?: string | undefined;
  readonly externalId?: string | null | undefined;
  readonly isActive?: boolean | undefined;
}

type Changeable = NewScope & { readonly isActive: boolean };
type Values = Record<string, EventValue>;

const WIRE_NAMES = {
  slug: 'slug',
  name: 'name',
  externalId: 'external_id',
  isActive: 'is_active',
} as const satisfies Record<keyof Changeable, string>;

/** Applies an update, and says what it changed by its names on the wire; undefined when nothing. */
export function applied(
  current: Changeable,
  update: ScopeUpdate,
): { readonly changes: Partial<Changeable>; readonly beforeValues: Values; readonly afterValues: Values } {
  const changes: Partial<Record<keyof Changeable, EventValue>> = {};
  const beforeValues: Values = {};
  const afterValues: Values = {};
  for (const [field, wireName] of Object.entries(WIRE_NAMES) as [keyof Changeable, string][]) {
    const value = update[field];
    if (value === undefined || value === current[field]) continue;
    changes[field] = value;
    beforeValues[wireName] = current[field];
    afterValues[wireName] = value;
  }
  return { changes: changes as Partial<Changeable>, beforeValues, afterValues };
}
