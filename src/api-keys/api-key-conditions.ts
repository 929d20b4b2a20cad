import type { Scope } from '../auth/scope.policy.js';
import type { ApiKeyState } from './api-key.policy.js';
import { IS_SCOPE_ACTIVE } from './api-key-rows.js';

/*
 * Conditions of a list on tables `keys`, `texts`, `owners`, `projects` and `organizations`.
 */

/** Keys of a user and of some scopes. */
export interface VisibleKeys {
  readonly userId: number;
  readonly scopes: readonly Scope[];
}

/** A key that never expires stands after all others; it is indexed as this. */
export const EXPIRY = `coalesce(keys.expires_at, 'infinity'::timestamptz)`;
/** Stands between name and description in `api_key_search_texts`; a search that holds it must not span both. */
const BETWEEN_TEXTS = '\u001f';
const IS_OWNER_ACTIVE = '(owners.is_active AND owners.deleted_at IS NULL)';

/** An index for each part: their ids are joined before keys are read. */
export function visibleCondition(
  { userId, scopes }: VisibleKeys,
  parameter: (value: unknown) => string,
): string {
  const projects = scopes.flatMap(({ projectId }) => projectId ?? []);
  const organizations = scopes.filter(({ projectId }) => projectId === null);
  const ofOrganizations = organizations.map(({ organizationId }) => organizationId);
  return `(keys.user_id = ${parameter(userId)} OR keys.project_id = ANY (${parameter(projects)}::bigint[])
    OR keys.organization_id = ANY (${parameter(ofOrganizations)}::bigint[]))`;
}

/** As `stateOf` derives it: of a key that came from others, by these as well. */
export function stateCondition(state: ApiKeyState, parameter: () => string): string {
  if (state === 'quarantined') return 'false';
  if (state === 'owner_disabled') return `NOT ${IS_OWNER_ACTIVE}`;
  if (state === 'scope_disabled') return `${IS_OWNER_ACTIVE} AND NOT ${IS_SCOPE_ACTIVE}`;
  const isLiving = `${IS_OWNER_ACTIVE} AND ${IS_SCOPE_ACTIVE}`;
  const isInactive = `(NOT keys.is_active OR ${someAncestor(`NOT (ancestor ->> 'is_active')::boolean OR ancestor ->> 'deleted_at' IS NOT NULL`)})`;
  if (state === 'inactive') return `${isLiving} AND ${isInactive}`;
  const now = parameter();
  const isExpired = `(${EXPIRY} <= ${now} OR ${someAncestor(`(ancestor ->> 'expires_at')::timestamptz <= ${now}`)})`;
  const isLive = `${isLiving} AND keys.is_active AND NOT ${isInactive}`;
  // Said of the key itself as well, so that an index over expiries can be used.
  return state === 'expired'
    ? `${isLive} AND ${isExpired}`
    : `${isLive} AND ${EXPIRY} > ${now} AND NOT ${isExpired}`;
}

function someAncestor(condition: string): string {
  return `keys.parent_key_id IS NOT NULL AND EXISTS (
    SELECT FROM json_array_elements(api_key_ancestors(keys.id)) AS ancestor WHERE ${condition})`;
}

/** Names and descriptions that hold a text, folded as they are. */
export function searchConditions(
  search: string,
  unfoldedBelow: number,
  parameter: (value: unknown) => string,
): string[] {
  const pattern = `api_key_search_pattern(${parameter(search)})`;
  const unfolded = () => `(texts.api_key_id < ${parameter(unfoldedBelow)}
    AND octet_length(texts.text) <> char_length(texts.text)
    AND api_key_search_text(keys.name, keys.description) LIKE ${pattern})`;
  const isFound = `texts.text LIKE ${pattern}`;
  return [
    unfoldedBelow === 0 ? isFound : `(${isFound} OR ${unfolded()})`,
    ...(search.includes(BETWEEN_TEXTS)
      ? [
          `(fold_search_text(keys.name) LIKE ${pattern} OR fold_search_text(keys.description) LIKE ${pattern})`,
        ]
      : []),
  ];
}
