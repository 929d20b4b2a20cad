import { isDeepStrictEqual } from 'node:util';
import type { ProjectScope } from '../auth/scope.policy.js';
import type { EventValue } from '../events/event-values.js';

/** A user of one project that cannot log in: its keys outlive every person. */
export interface ServiceAccount extends ProjectScope {
  /** Of the user that it is. */
  readonly id: number;
  readonly name: string;
  /** Held in its project; those of the data plane in its organization. */
  readonly permissions: string[];
  readonly isActive: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** The fields to change; absent ones stay. */
export interface ServiceAccountUpdate {
  readonly name?: string | undefined;
  readonly permissions?: readonly string[] | undefined;
  readonly isActive?: boolean | undefined;
}

/** What an update leads to, and what it changes by its names on the wire. */
export function updated(account: ServiceAccount, update: ServiceAccountUpdate) {
  const after = {
    name: update.name ?? account.name,
    permissions: update.permissions ?? account.permissions,
    isActive: update.isActive ?? account.isActive,
  };
  const [before, wanted] = [onTheWire(account), onTheWire(after)];
  const changed = Object.keys(wanted).filter((name) => !isDeepStrictEqual(before[name], wanted[name]));
  const pick = (values: Readonly<Record<string, EventValue>>) =>
    Object.fromEntries(changed.map((name) => [name, values[name] ?? null]));
  return { after, beforeValues: pick(before), afterValues: pick(wanted) };
}

function onTheWire({
  name,
  permissions,
  isActive,
}: Required<ServiceAccountUpdate> | ServiceAccount): Record<string, EventValue> {
  return { name: name ?? null, permissions: permissions ?? [], is_active: isActive ?? true };
}
