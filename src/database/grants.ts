import pg from 'pg';
import type { DataSource, EntityManager } from 'typeorm';
import { longRunningClientOptions } from './connection-options.js';
import type { DatabaseServer } from './database-server.js';
import { SessionClient } from './session-client.js';

/**
 * Grants the service's role what it needs, when migrations run as another role. On the audit log that is
 * reading and adding alone: the service could not change history even with its triggers gone. All in one
 * transaction, so that there is no moment at which a running service may do more.
 */
export async function grantToServiceRole(owner: DataSource, service: DatabaseServer): Promise<void> {
  const role = await roleOf(service);
  const schema = pg.escapeIdentifier(service.schema);
  const [{ current_user: ownerRole } = { current_user: role }] =
    await owner.query<{ current_user: string }[]>('SELECT current_user');
  if (ownerRole === role) return;
  const grantee = pg.escapeIdentifier(role);
  await owner.transaction(async (manager) => {
    await manager.query(`
      GRANT USAGE ON SCHEMA ${schema} TO ${grantee};
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${grantee};
      GRANT USAGE ON ALL SEQUENCES IN SCHEMA ${schema} TO ${grantee};
      REVOKE UPDATE, DELETE ON pepper_fingerprints FROM ${grantee};
      REVOKE INSERT, UPDATE, DELETE ON schema_migrations, schema_functions, schema_requirements, roles, membership_roles,
        audit_retention, audit_log_digests, usage_request_generations FROM ${grantee};
      GRANT EXECUTE ON FUNCTION ensure_audit_log_partitions(date, integer), ensure_usage_event_partitions(date, integer),
        drop_usage_event_partitions(date), rotate_usage_requests(), drop_audit_log_partitions() TO ${grantee};
    `);
    await manager.query(
      `DO $$ DECLARE log regclass; BEGIN
         FOR log IN SELECT 'audit_logs'::regclass UNION ALL
           SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_logs'::regclass UNION ALL
           SELECT ('audit_logs_' || month)::regclass FROM audit_log_digests
         LOOP EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM ${grantee.replaceAll("'", "''")}', log); END LOOP;
       END $$`,
    );
    await takeTemporaryTables(manager);
  });
}

/**
 * PostgreSQL lets every role create temporary tables. The service needs none, and a temporary table could take the place of
 * one that a statement or function names. The right belongs to PUBLIC; only the owner of the database may revoke it.
 */
async function takeTemporaryTables(owner: EntityManager): Promise<void> {
  await owner.query(`
    DO $$ BEGIN
      IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
      END IF;
    END $$`);
}

async function roleOf(service: DatabaseServer): Promise<string> {
  const client = new SessionClient(longRunningClientOptions(service));
  try {
    await client.connect();
    const { rows } = await client.query<{ role: string }>('SELECT current_user AS role');
    return rows[0]?.role ?? '';
  } finally {
    await client.end();
  }
}
