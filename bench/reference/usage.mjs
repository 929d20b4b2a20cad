// @ts-check
/**
 * Taking usage in, and holding budget, without Latchkey: bare Fastify routes with one statement for each request, which
 * answer after commit. One event is a row, a list is a statement of many rows; an event that was stored before is
 * passed over. A hold is an UPDATE that is guarded by its limit, and leaves no row of its own. One caller is known, by
 * the SHA-256 of its key (CALLER), and bodies are validated by their schemas; there are no rollups, totals, expiries or
 * partitions. PORT and DATABASE_URL say where.
 */
import { hash } from 'node:crypto';
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
// A budget for each API key, with the same room in its pages as Latchkey's accounts have.
await pool.query(`CREATE TABLE IF NOT EXISTS reference_budgets WITH (fillfactor = 70) AS
  SELECT id, 1e15::bigint AS limit_micro_cents, 0::bigint AS spent_micro_cents, 0::bigint AS held_micro_cents FROM api_keys`);
await pool.query('CREATE UNIQUE INDEX IF NOT EXISTS reference_budgets_key ON reference_budgets (id)');
const HOLD = {
  name: 'hold',
  text: `UPDATE reference_budgets SET held_micro_cents = held_micro_cents + $2
    WHERE id = $1 AND spent_micro_cents + held_micro_cents + $2 <= limit_micro_cents
    RETURNING limit_micro_cents, spent_micro_cents, held_micro_cents`,
};
const TOKENS = { type: 'integer', minimum: 0, maximum: 1_000_000_000 };
const EVENT = {
  type: 'object',
  required: [
    'api_key_id',
    'request_id',
    'endpoint',
    'method',
    'request_tokens',
    'response_tokens',
    'cost_cents',
  ],
  additionalProperties: false,
  properties: {
    api_key_id: { type: 'integer', minimum: 1 },
    request_id: { type: 'string', minLength: 1, maxLength: 200 },
    endpoint: { type: 'string', minLength: 1, maxLength: 500 },
    method: { type: 'string', minLength: 1, maxLength: 20 },
    model: { type: 'string', minLength: 1, maxLength: 200 },
    request_tokens: TOKENS,
    response_tokens: TOKENS,
    cost_cents: { type: 'string', pattern: String.raw`^\d{1,13}(\.\d{1,6})?$` },
    status_code: { type: 'integer', minimum: 100, maximum: 599 },
    response_time_ms: { type: 'integer', minimum: 0 },
    occurred_at: { type: 'string', format: 'date-time' },
  },
};
const REPORT = {
  body: { anyOf: [EVENT, { type: 'array', maxItems: 1_000, items: EVENT }] },
};
const HOLD_REQUEST = {
  body: {
    type: 'object',
    required: ['api_key_id', 'amount_cents', 'ttl_seconds'],
    additionalProperties: false,
    properties: {
      api_key_id: { type: 'integer', minimum: 1 },
      amount_cents: { type: 'number', exclusiveMinimum: 0 },
      ttl_seconds: { type: 'integer', minimum: 1, maximum: 86_400 },
    },
  },
};
const server = fastify({ return503OnClosing: false, bodyLimit: 1_048_576 });

server.addHook('onRequest', (request, reply, done) => {
  if (hash('sha256', String(request.headers['x-api-key'])) === process.env['CALLER']) done();
  else reply.code(401).send({ error: 'The API key is not valid.' });
});

server.post('/api/v1/usage', { schema: REPORT }, (request) =>
  store(/** @type {UsageEvent | UsageEvent[]} */ (request.body)),
);

server.post('/api/v1/budget-holds', { schema: HOLD_REQUEST }, async (request, reply) => {
  const { api_key_id: id, amount_cents: amount } =
    /** @type {{ api_key_id: number, amount_cents: number }} */ (request.body);
  const { rows } = await pool.query({ ...HOLD, values: [id, amount * 1_000_000] });
  return reply
    .code(rows.length === 0 ? 402 : 201)
    .send({ api_key_id: id, amount_cents: amount, budget: rows[0] });
});

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
