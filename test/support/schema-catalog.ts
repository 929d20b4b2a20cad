import type { TestDatabase } from './database.js';

/** What an object is, as one line; lines are sorted by the name of what they are about. */
type Catalog = Record<string, string[]>;

const OURS = `IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)`;
const NOT_OF_EXTENSION = (oid: string) =>
  `NOT EXISTS (SELECT FROM pg_depend WHERE objid = ${oid} AND deptype = 'e')`;

/** Of every kind of object, all that PostgreSQL knows of it and that does not depend on when it was made. */
const QUERIES: Record<string, string> = {
  relations: `
    SELECT relname, relkind, relpersistence, relispartition, relreplident, relrowsecurity, relforcerowsecurity, relhasrules,
      reloptions, relacl, (SELECT amname FROM pg_am WHERE oid = relam) AS method,
      (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = pg_class.oid) AS parent,
      pg_get_expr(relpartbound, oid) AS bound, pg_get_partkeydef(oid) AS key, pg_get_userbyid(relowner) AS owner,
      obj_description(oid, 'pg_class') AS comment
    FROM pg_class WHERE oid ${OURS}`,
  columns: `
    SELECT attrelid::regclass AS relation, attnum, attname, format_type(atttypid, atttypmod) AS type, attnotnull, attidentity,
      attgenerated, attstorage, attcompression, nullif(attstattarget, -1) AS statistics, attcollation::regcollation AS collation,
      attislocal, attisdropped, attoptions, attacl, pg_get_expr(adbin, adrelid) AS default_value,
      col_description(attrelid, attnum) AS comment
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid ${OURS} AND attnum > 0`,
  constraints: `
    SELECT conrelid::regclass AS relation, conname, contype, condeferrable, condeferred, contype = 'c' AND connoinherit AS is_not_inherited,
      pg_get_constraintdef(oid) AS definition, obj_description(oid, 'pg_constraint') AS comment
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace`,
  indexes: `
    SELECT pg_get_indexdef(indexrelid) AS definition, indisunique, indisprimary, indisclustered, indisvalid, indisready, indislive,
      indnullsnotdistinct, (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = indexrelid) AS parent
    FROM pg_index WHERE indrelid ${OURS}`,
  triggers: `
    SELECT pg_get_triggerdef(oid) AS definition, tgenabled, tgparentid <> 0 AS is_of_parent
    FROM pg_trigger WHERE tgrelid ${OURS} AND NOT tgisinternal`,
  functions: `
    SELECT oid::regprocedure AS signature, pg_get_functiondef(oid) AS definition, proacl, pg_get_userbyid(proowner) AS owner,
      obj_description(oid, 'pg_proc') AS comment
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND ${NOT_OF_EXTENSION('pg_proc.oid')}`,
  sequences: `
    SELECT seqrelid::regclass AS name, seqtypid::regtype AS type, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
      (SELECT refobjid::regclass || '.' || refobjsubid FROM pg_depend WHERE objid = seqrelid AND deptype IN ('a', 'i')) AS owner
    FROM pg_sequence WHERE seqrelid ${OURS}`,
  statistics: `SELECT pg_get_statisticsobjdef(oid) AS definition FROM pg_statistic_ext`,
  types: `
    SELECT typname, typtype FROM pg_type
    WHERE typnamespace = 'public'::regnamespace AND ${NOT_OF_EXTENSION('pg_type.oid')}`,
  rules: `SELECT pg_get_ruledef(oid) AS definition FROM pg_rewrite WHERE ev_class ${OURS}`,
  policies: `SELECT polname, polrelid::regclass AS relation FROM pg_policy`,
  extensions: `SELECT extname, extversion, extnamespace::regnamespace AS schema FROM pg_extension`,
  'event triggers': `SELECT evtname FROM pg_event_trigger`,
  'default privileges': `SELECT defaclobjtype, defaclacl FROM pg_default_acl`,
  schemas: `SELECT nspname, nspacl FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'`,
};

/** Everything that the catalog says of the schema, and the rows of all tables but that of the migrations. Times are all alike. */
export async function readCatalog(database: TestDatabase): Promise<Catalog> {
  const catalog: Catalog = {};
  for (const [kind, query] of Object.entries(QUERIES)) catalog[kind] = await lines(database, query);
  const tables = await database.query<{ name: string }>(`
    SELECT oid::regclass::text AS name FROM pg_class
    WHERE oid ${OURS} AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'schema_migrations'`);
  for (const { name } of tables) catalog[`rows of ${name}`] = await lines(database, `SELECT * FROM ${name}`);
  return catalog;
}

async function lines(database: TestDatabase, query: string): Promise<string[]> {
  const rows = await database.query<{ line: string }>(
    `SELECT row_to_json(found)::text AS line FROM (${query}) AS found`,
  );
  return rows.map(({ line }) => line.replaceAll(/"\d{4}-\d\d-\d\dT[^"]*"/g, '"time"')).toSorted();
}
