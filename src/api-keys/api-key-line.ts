import type { ProjectScope } from '../auth/scope.policy.js';
import { type ApiKeyPolicy, POLICY_COLUMNS, type PolicyRow, toPolicy } from './api-key.js';

/** A key of a line, with its policy and its place. */
export type LineKey = ApiKeyPolicy & ProjectScope & { readonly id: number };

/** Its row. */
export type LineRow = PolicyRow & {
  readonly id: number;
  readonly organization_id: number;
  readonly project_id: number;
  readonly is_alive: boolean;
};

const LINE = `
  WITH RECURSIVE line AS (
    SELECT id, parent_key_id FROM api_keys WHERE id = $1
    UNION ALL
    SELECT parents.id, parents.parent_key_id
    FROM line JOIN api_keys AS parents ON parents.id = line.parent_key_id
  )
  SELECT id, organization_id, project_id, is_active AND deleted_at IS NULL AND (expires_at IS NULL OR expires_at > $2) AS is_alive,
    ${POLICY_COLUMNS.join(', ')}
  FROM api_keys WHERE id IN (SELECT id FROM line) ORDER BY id`;
export const READ_LINE = { name: 'read_api_key_line', text: LINE };
// Waits for changes of these keys that are in progress: a child is created before such a change, or sees it. Parents are
// older than their children, so a deletion locks them in the same order.
export const LOCK_LINE = { name: 'lock_api_key_line', text: `${LINE} FOR SHARE` };

/** The key of a row. */
export function toLineKey(row: LineRow): LineKey {
  return {
    id: row.id,
    organizationId: row.organization_id,
    projectId: row.project_id,
    ...toPolicy(row),
  };
}
