import { readFileSync } from 'node:fs';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { sqlFunctionText } from '../sql-functions.js';
import { partitionsOf, withShortLocks } from './short-locks.js';

const FUNCTIONS = [
  'add_default_memberships',
  'note_membership_changes',
  'note_organization_changes',
  'note_policy_changes',
  'note_project_changes',
  'place_new_api_keys',
];

/** Indexes of tables that may be large, built while others write. */
const INDEXES = [
  'UNIQUE INDEX CONCURRENTLY IF NOT EXISTS api_keys_id_project_id_key ON api_keys (id, project_id)',
  'INDEX CONCURRENTLY IF NOT EXISTS api_keys_project_idx ON api_keys (project_id, id) WHERE deleted_at IS NULL',
  'INDEX CONCURRENTLY IF NOT EXISTS api_keys_organization_idx ON api_keys (organization_id, id) WHERE deleted_at IS NULL',
  'INDEX CONCURRENTLY IF NOT EXISTS api_keys_inactive_reason_idx ON api_keys (inactive_reason, id) WHERE inactive_reason IS NOT NULL AND deleted_at IS NULL',
];

/** Added without reading the rows that were there, and checked here while others write. */
const CONSTRAINTS = {
  api_keys: [
    'api_keys_service_account_check',
    'api_keys_inactive_reason_check',
    'api_keys_project_id_fkey',
    'api_keys_owner_kind_fkey',
    'api_keys_service_account_id_fkey',
    'api_keys_parent_project_fkey',
  ],
  budget_accounts: ['budget_accounts_owner_check'],
  change_feed: ['change_feed_kind_check'],
};

/**
 * Organizations and projects, memberships, invitations, service accounts and policies. All that there was is in the organization
 * and the project `default`, so that a client that knows nothing of them sees no change. It only adds: an instance of the
 * version before goes on beside it, and what it inserts is in the default project.
 */
export class Organizations1764374400000 implements MigrationInterface {
  readonly name = 'Organizations1764374400000';
  /** Indexes of large tables are built while others write, which no transaction can. Each step can be repeated. */
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    if (!(await isThere(runner, 'organizations'))) {
      const schema = readFileSync(new URL('1764374400000-organizations.sql', import.meta.url), 'utf8');
      // The tables that the functions name do not exist yet.
      const functions = `SET LOCAL check_function_bodies = off; ${FUNCTIONS.map(sqlFunctionText).join('\n')}`;
      await withShortLocks(runner, `${functions}\n${schema}`);
    }
    for (const index of INDEXES) await buildIndex(runner, index);
    if (!(await hasConstraint(runner, 'api_keys_parent_project_fkey'))) {
      await withShortLocks(
        runner,
        `ALTER TABLE api_keys
           ADD CONSTRAINT api_keys_id_project_id_key UNIQUE USING INDEX api_keys_id_project_id_key,
           ADD CONSTRAINT api_keys_parent_project_fkey
             FOREIGN KEY (parent_key_id, project_id) REFERENCES api_keys (id, project_id) NOT VALID`,
      );
    }
    await indexAuditLogs(runner);
    for (const [table, names] of Object.entries(CONSTRAINTS)) {
      for (const name of names) await runner.query(`ALTER TABLE ${table} VALIDATE CONSTRAINT ${name}`);
    }
  }

  /** Refuses once there is more than what `up` made: it would be lost. */
  async down(runner: QueryRunner): Promise<void> {
    const [inUse] = await runner.manager.query<unknown[]>(`
      SELECT FROM organizations WHERE id <> 1 UNION ALL SELECT FROM projects WHERE id <> 1
      UNION ALL SELECT FROM policies UNION ALL SELECT FROM invitations UNION ALL SELECT FROM users WHERE kind = 'service' LIMIT 1`);
    if (inUse !== undefined)
      throw new Error(
        'There are organizations, policies, invitations or service accounts: they would be lost.',
      );
    await withShortLocks(
      runner,
      `DELETE FROM change_feed WHERE kind IN ('project', 'organization');
       INSERT INTO change_feed (kind) VALUES ('everything');
       ALTER TABLE change_feed DROP CONSTRAINT change_feed_kind_check,
         ADD CONSTRAINT change_feed_kind_check CHECK (kind IN ('api_key', 'user', 'everything'));
       ALTER TABLE audit_logs DROP COLUMN organization_id;
       ALTER TABLE budget_accounts DROP COLUMN project_id, DROP COLUMN organization_id, DROP COLUMN linked_at;
       DROP TRIGGER place_inserts ON api_keys;
       ALTER TABLE api_keys DROP COLUMN organization_id CASCADE, DROP COLUMN project_id CASCADE, DROP COLUMN owner_kind,
         DROP COLUMN service_account_id, DROP COLUMN inactive_reason;
       DROP TRIGGER memberships_of_new_users ON users;
       DROP TABLE policies, invitations, memberships, membership_roles;
       ALTER TABLE users DROP COLUMN kind CASCADE, DROP COLUMN project_id CASCADE, DROP COLUMN organization_id;
       DROP TABLE projects, organizations;
       ${FUNCTIONS.map((name) => `DROP FUNCTION ${name}()`).join('; ')};
       DELETE FROM schema_functions WHERE name IN (${FUNCTIONS.map((name) => `'${name}'`).join(', ')})`,
    );
  }
}

/** The index of the log by organization: of each partition first, so that its whole never waits for a lock on all. */
async function indexAuditLogs(runner: QueryRunner): Promise<void> {
  for (const partition of await partitionsOf(runner, 'audit_logs'))
    await buildIndex(
      runner,
      `INDEX CONCURRENTLY IF NOT EXISTS ${partition}_organization_id_created_at_id_idx ON ${partition} (organization_id, created_at, id)
        WHERE organization_id IS NOT NULL`,
    );
  await withShortLocks(
    runner,
    `CREATE INDEX IF NOT EXISTS audit_logs_organization_id_idx ON audit_logs (organization_id, created_at, id)
       WHERE organization_id IS NOT NULL`,
  );
}

/** Builds an index; one that a stop left half built is built anew. */
async function buildIndex(runner: QueryRunner, index: string): Promise<void> {
  const name = /(\w+) ON /.exec(index)?.[1] ?? '';
  const [invalid] = await runner.manager.query<unknown[]>(
    `SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid`,
    [name],
  );
  if (invalid !== undefined) await runner.query(`DROP INDEX CONCURRENTLY ${name}`);
  await runner.query(`CREATE ${index}`);
}

async function isThere(runner: QueryRunner, table: string): Promise<boolean> {
  const [row] = await runner.manager.query<{ found: boolean }[]>(
    'SELECT to_regclass($1) IS NOT NULL AS found',
    [table],
  );
  return row?.found === true;
}

async function hasConstraint(runner: QueryRunner, name: string): Promise<boolean> {
  const rows = await runner.manager.query<unknown[]>('SELECT FROM pg_constraint WHERE conname = $1', [name]);
  return rows.length > 0;
}
