// @ts-check
/**
 * Taking usage in without Latchkey: a bare Fastify route that stores what it is sent, one INSERT for each request,
 * and answers after commit. One event is a row, a list is a statement of many rows; an event that was stored before is
 * passed over. No caller is known, nothing is validated, and there are no rollups, totals, budgets or partitions.
 * PORT and DATABASE_URL say where.
 */
import process from 'node:process';
import fastify from 'fastify';
import pg from 'pg';

/**
 * @typedef {{ api_key_id: number, request_id: string, endpoint: string, method: string, model: string,
 *   request_tokens: number, response_tokens: number, cost_cents: string, status_code: number,
 *   response_time_ms: number, occurred_at: string }} UsageEvent
 */
const COLUMNS = /** @type {const} */ ([
  ['api_key_id', 'bigint'],
  ['request_id', 'text'],
  ['endpoint', 'text'],
  ['method', 'text'],
  ['model', 'text'],
  ['request_tokens', 'bigint'],
  ['response_tokens', 'bigint'],
  ['cost_cents', 'numeric'],
  ['status_code', 'integer'],
  ['response_time_ms', 'bigint'],
  ['occurred_at', 'timestamptz'],
]);
const NAMES = COLUMNS.map(([name]) => name).join(', ');
const INSERT_ONE = {
  name: 'insert_one',
  text: `INSERT INTO reference_events (${NAMES}) VALUES (${COLUMNS.map((_column, index) => `$${index + 1}`).join(', ')})
    ON CONFLICT DO NOTHING`,
};
const INSERT_MANY = {
  name: 'insert_many',
  text: `INSERT INTO reference_events (${NAMES})
    SELECT * FROM unnest(${COLUMNS.map(([, type], index) => `$${index + 1}::${type}[]`).join(', ')}) ON CONFLICT DO NOTHING`,
};

const pool = new pg.Pool({
  connectionString: process.env['DATABASE_URL'],
  application_name: 'reference',
  max: Number(process.env['DATABASE_POOL_SIZE']),
});
await pool.query(
  `CREATE TABLE IF NOT EXISTS reference_events (${COLUMNS.map(([name, type]) => `${name} ${type} NOT NULL`).join(', ')},
     PRIMARY KEY (api_key_id, request_id))`,
);
const server = fastify({ return503OnClosing: false, bodyLimit: 1_048_576 });

server.post('/api/v1/usage', (request) => store(/** @type {UsageEvent | UsageEvent[]} */ (request.body)));

/** @param {UsageEvent | UsageEvent[]} body */
async function store(body) {
  const isList = Array.isArray(body);
  const { rowCount } = await (isList
    ? pool.query({ ...INSERT_MANY, values: COLUMNS.map(([name]) => body.map((event) => event[name])) })
    : pool.query({ ...INSERT_ONE, values: COLUMNS.map(([name]) => body[name]) }));
  const accepted = rowCount ?? 0;
  return { accepted, duplicates: (isList ? body.length : 1) - accepted, rejected: [] };
}

process.on('SIGTERM', () => process.exit());
await server.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' });
