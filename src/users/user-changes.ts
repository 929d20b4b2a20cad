/** A user to make; the password is plain text and leaves this room only as its hash. */
export interface NewUser {
  readonly username: string;
  readonly password: string;
  readonly role: string;
  readonly permissions: readonly string[];
}

/** The fields of a user to change; absent ones stay. */
export interface UserChanges {
  readonly role?: string | undefined;
  readonly permissions?: readonly string[] | undefined;
  readonly isActive?: boolean | undefined;
}

type UserValues = Record<'role' | 'permissions' | 'is_active', string | string[] | boolean>;

/** What a change of a user changed, as an audit row tells it. */
export function changedValues(before: UserValues, after: UserValues) {
  const names = (['role', 'permissions', 'is_active'] as const).filter(
    (name) => String(before[name]) !== String(after[name]),
  );
  const pick = (values: UserValues) => Object.fromEntries(names.map((name) => [name, values[name]]));
  return { beforeValues: pick(before), afterValues: pick(after) };
}
