import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { testEnvironment } from '../support/test-app.js';

describe('the database roles of production', () => {
  const suffix = randomBytes(4).toString('hex');
  const [owner, service] = [`owner_${suffix}`, `service_${suffix}`];
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase({ isEmpty: true });
    // What psql does with the file when compose starts PostgreSQL.
    const script = readFileSync(projectPath('deploy/compose/roles.sql'), 'utf8')
      .replaceAll(/^\\getenv.*$/gm, '')
      .replaceAll(/:'\w+'/g, `'a password'`)
      .replaceAll('latchkey_owner', owner)
      .replaceAll('DATABASE latchkey', `DATABASE ${database.name}`)
      .replaceAll('ROLE latchkey ', `ROLE ${service} `);
    await database.query(script);
  });
  afterAll(async () => {
    await database.query(`
      REASSIGN OWNED BY ${owner} TO postgres; DROP OWNED BY ${owner}, ${service}; DROP ROLE ${owner}, ${service};`);
    await database.drop();
  });

  const as = (role: string) => database.url.replace('//postgres@', `//${role}@`);

  /** The warnings of a start in production, up to the line that says it is ready. */
  async function warningsOf(environment: Record<string, string>): Promise<string[]> {
    const { DATA_DIR: _none, ...settings } = testEnvironment('');
    const app = await AppProcess.start({
      ...settings,
      NODE_ENV: 'production',
      BCRYPT_COST: '10',
      SHUTDOWN_DRAIN_SECONDS: '0',
      LOG_LEVEL: 'warn',
      ...environment,
    });
    const lines = app.logLines();
    expect(app.stderr).toBe('');
    expect(app.stdout.trim().split('\n')).toHaveLength(lines.length);
    expect(lines.at(-1)).toMatchObject({
      msg: 'ready',
      version: expect.any(String),
      migrations: expect.any(Array),
      redis: null,
    });
    expect(await app.stop()).toBe(0);
    return lines.filter(({ level }) => level === 'warn').map(({ msg }) => String(msg));
  }

  it('are two in compose.yaml: one owns the schema, the other serves, and nothing is warned about', async () => {
    expect(await warningsOf({ DATABASE_URL: as(service), DATABASE_MIGRATION_URL: as(owner) })).toEqual([]);
  });

  it('are warned about when the one that serves may create temporary tables, which only the owner of the database can end', async () => {
    const urls = { DATABASE_URL: as(service), DATABASE_MIGRATION_URL: as(owner) };
    await database.query(
      `ALTER DATABASE ${database.name} OWNER TO postgres; GRANT TEMPORARY ON DATABASE ${database.name} TO PUBLIC;
       GRANT ALL ON SCHEMA public TO ${owner}`,
    );
    const [warning = '', ...others] = await warningsOf(urls);
    expect([warning, others]).toEqual([
      expect.stringMatching(`^The role ${service} of DATABASE_URL may create temporary tables`),
      [],
    ]);
    await database.query(/REVOKE .*;/.exec(warning)?.[0] ?? '');
    expect(await warningsOf(urls)).toEqual([]);
    await database.query(`ALTER DATABASE ${database.name} OWNER TO ${owner}`);
  });

  it('are warned about when one role does both, and when it is a superuser', async () => {
    expect(await warningsOf({ DATABASE_URL: as(owner) })).toEqual([
      expect.stringMatching(
        /^One database role owns the schema and serves requests\. Set DATABASE_MIGRATION_URL/,
      ),
    ]);
    expect(await warningsOf({ DATABASE_URL: database.url })).toEqual([
      'DATABASE_URL connects as a superuser. Use a role of its own for the service.',
    ]);
  });
});
