import { denied } from '../auth/access.policy.js';
import type { Principal } from '../auth/principal.js';
import { scopesOf } from '../auth/scope.policy.js';

const READ_PERMISSION = 'platform:audit:read';

/**
 * The organizations whose part of the log a caller reads who asks for that of one, or for all; undefined for the whole log.
 * @throws AppError `permission.denied`
 */
export function readableOrganizations(principal: Principal, asked: number | undefined): number[] | undefined {
  const scopes = scopesOf(principal, READ_PERMISSION);
  if (scopes === undefined) return asked === undefined ? undefined : [asked];
  const readable = scopes.filter(({ projectId }) => projectId === null).map((scope) => scope.organizationId);
  if (asked === undefined ? readable.length === 0 : !readable.includes(asked)) throw notReadable();
  return asked === undefined ? readable : [asked];
}

/**
 * For an export that goes on: its caller must still be able to read all that it reads.
 * @throws AppError `permission.denied`
 */
export function requireStillReadable(
  principal: Principal,
  organizationIds: readonly number[] | undefined,
): void {
  const readable = readableOrganizations(principal, undefined);
  if (readable === undefined) return;
  if (organizationIds?.every((id) => readable.includes(id)) !== true) throw notReadable();
}

function notReadable() {
  return denied(`The permission ${READ_PERMISSION} is needed.`);
}
