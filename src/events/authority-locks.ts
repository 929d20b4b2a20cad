import type { Change, ChangedKind } from '../change-feed/changes.js';
import type { PreparedStatement } from '../database/prepared-statement.js';
import type { Actor, AuthorityPart } from '../context/request-context.js';
import type { ChangeEvents } from './domain-events.js';

/**
 * Waits in the order of the arguments, which must be the same for everyone. Advisory locks, because they are fair: a
 * caller who sends one change after the other cannot keep the one waiting that takes their authority away.
 */
export const LOCK_AUTHORITIES: PreparedStatement = {
  name: 'lock_authorities',
  text: `
    SELECT CASE WHEN is_exclusive THEN pg_advisory_xact_lock(key) IS NULL ELSE pg_advisory_xact_lock_shared(key) IS NULL END
    FROM unnest($1::text[], $2::boolean[]) AS wanted (name, is_exclusive),
      hashtextextended('latchkey:authority:' || name, 0) AS key`,
};

/** The name of the lock on what a user, an API key, or all keys of a project or organization may do. */
export function authorityName(kind: ChangedKind, id: number): string {
  return `${kind}:${id}`;
}

/** The locks that a change takes before it commits: shared on its caller's authority, exclusive on those it changes. */
export function authorityLocks(
  actor: Actor | undefined,
  restsOn: readonly AuthorityPart[],
  changed: Iterable<string>,
): { readonly names: string[]; readonly areExclusive: boolean[] } {
  const exclusive = new Set(changed);
  const names = [...new Set([...namesOf(actor, restsOn), ...exclusive])].toSorted();
  return { names, areExclusive: names.map((name) => exclusive.has(name)) };
}

/** After these nobody may do less than before. */
const NOTHING_TAKEN: ReadonlySet<keyof ChangeEvents> = new Set([
  'api_key.created',
  'session.opened',
  'session.refreshed',
  'user.created',
  'organization.created',
  'project.created',
  'member.added',
  'service_account.created',
]);

/** Whose authority an event may have reduced: of a user, or of a key used as a credential. */
export function changedAuthority(
  name: keyof ChangeEvents,
  payload: ChangeEvents[keyof ChangeEvents],
): Exclude<Change, { kind: 'everything' }> | undefined {
  if (NOTHING_TAKEN.has(name)) return undefined;
  if (/^(user|session|member|service_account)\./.test(name) && 'userId' in payload)
    return { kind: 'user', id: payload.userId };
  if (name.startsWith('project.')) return { kind: 'project', id: idIn(payload, 'projectId') };
  if (name.startsWith('organization.')) return { kind: 'organization', id: idIn(payload, 'organizationId') };
  if (name === 'policy.updated') return ofPlace(payload as ChangeEvents['policy.updated']);
  // Keys that end with their owner or parent (`api_keys.deleted`) are covered by the lock of that.
  if (!name.startsWith('api_key.') || !('apiKeyId' in payload) || payload.apiKeyId === null) return undefined;
  return { kind: 'api_key', id: payload.apiKeyId };
}

/** Keys that break a policy are no credentials. */
function ofPlace({
  organizationId,
  projectId,
}: ChangeEvents['policy.updated']): ReturnType<typeof changedAuthority> {
  return projectId === null
    ? { kind: 'organization', id: organizationId }
    : { kind: 'project', id: projectId };
}

function idIn(payload: object, name: string): number {
  return (payload as Readonly<Record<string, number>>)[name] as number;
}

function namesOf(actor: Actor | undefined, restsOn: readonly AuthorityPart[]): string[] {
  const names = restsOn.map(({ kind, id }) => authorityName(kind, id));
  return actor === undefined ? names : [authorityName('user', actor.userId), ...names];
}
