import { Injectable } from '@nestjs/common';
import type { Pool } from 'pg';
import { DatabaseServer, SERVER_STATE } from './database-server.js';
import { FORMER_MIGRATIONS } from './migrations/1764302000000-baseline.js';
import { MIGRATIONS } from './migrations/index.js';
import { sqlFunctions } from './sql-functions.js';

/** SQLSTATEs of a schema that is not ours, or not there: no such table, no such schema, no such column. */
const NOT_OURS = new Set(['42P01', '3F000', '42703']);

interface StateRow {
  readonly is_read_only: boolean;
  readonly migrations: readonly string[];
  readonly functions: readonly string[];
  readonly requirements: readonly string[];
}

/** The names of the migrations that this version knows, those whose place the baseline took included. */
export function knownMigrations(): ReadonlySet<string> {
  return new Set([...FORMER_MIGRATIONS, ...expectedMigrations()]);
}

function expectedMigrations(): string[] {
  return MIGRATIONS.map((Migration) => new Migration().name);
}

/** Whether the database is one that this version can work on: it takes changes, and its schema is the expected one. */
@Injectable()
export class SchemaState {
  readonly #expected = expectedMigrations();
  readonly #known = knownMigrations();
  readonly #functions = sqlFunctions().map(({ name }) => name);

  constructor(private readonly server: DatabaseServer) {}

  /**
   * Why this version cannot work on the database, as a sentence; undefined when it can. A newer schema is expected too,
   * unless one of its migrations took away what this version needs: such a migration is named in `schema_requirements`.
   */
  async problem(pool: Pool): Promise<string | undefined> {
    const row = await this.#read(pool);
    if (row === undefined) return `There is no schema of Latchkey in ${this.server.schema}.`;
    if (row.is_read_only) return 'The PostgreSQL server takes no changes: it is a standby, or read-only.';
    const missing = this.#expected.find((name) => !row.migrations.includes(name));
    if (missing !== undefined) return `The schema is older than this version: ${missing} has not run.`;
    const unknown = row.requirements.find((name) => !this.#known.has(name));
    if (unknown !== undefined)
      return `The schema is too new for this version, which does not know ${unknown}.`;
    const lost = this.#functions.find((name) => !row.functions.includes(name));
    return lost === undefined ? undefined : `The schema lacks the SQL function ${lost} of this version.`;
  }

  async #read(pool: Pool): Promise<StateRow | undefined> {
    try {
      const { rows } = await pool.query<StateRow>(
        `SELECT ${SERVER_STATE}, ARRAY(SELECT name FROM schema_migrations) AS migrations,
           ARRAY(SELECT name FROM schema_functions) AS functions,
           ARRAY(SELECT migration FROM schema_requirements) AS requirements`,
      );
      return rows[0];
    } catch (error) {
      if (error instanceof Error && 'code' in error && NOT_OURS.has(String(error.code))) return undefined;
      throw error;
    }
  }
}
