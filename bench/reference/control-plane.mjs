/**
 * The control plane without Latchkey: bare Fastify routes that run the same statements for each request (the benchmark
 * compares them in PostgreSQL's log) and answer the same JSON. It proves no token, validates nothing and has neither
 * events nor a request context; it prepares every statement that may be, and sends what can go together at once.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import process from 'node:process';
import fastify from 'fastify';
import pg from 'pg';
import * as sql from './control-plane-statements.mjs';

const INT8 = 20;
const MOST_COUNTED = 10_000;
const connection = {
  connectionString: process.env['DATABASE_URL'],
  application_name: 'reference',
  pipeline: true,
  types: { getTypeParser: (oid, format) => (oid === INT8 ? Number : pg.types.getTypeParser(oid, format)) },
};
const pool = new pg.Pool({ ...connection, max: Number(process.env['DATABASE_POOL_SIZE']) });
const background = new pg.Pool({ ...connection, max: 1 });
const server = fastify();
server.route({ method: 'GET', url: '/api/v1/api-keys/:id', handler: getApiKey });
server.route({ method: 'GET', url: '/api/v1/api-keys', handler: listApiKeys });
server.route({ method: 'POST', url: '/api/v1/api-keys', handler: createApiKey });
server.route({ method: 'PUT', url: '/api/v1/api-keys/:id', handler: updateApiKey });

async function getApiKey(request) {
  const { id: userId } = await principal(request);
  const { id } = request.params;
  const { rows } = await pool.query({ ...sql.findApiKey, values: [id] });
  await observe(auditRow(request, userId, 'get_api_key', id, {}));
  return toApiKey(rows[0]);
}

async function listApiKeys(request) {
  const { id: userId, permissions } = await principal(request);
  const { search = null } = request.query;
  const [page, size] = [Number(request.query.page), Number(request.query.size)];
  const ownerId = permissions.length === 0 ? userId : null;
  const found = await (search === null
    ? findPage(ownerId, size, (page - 1) * size)
    : findMatches(search, size, (page - 1) * size));
  const filters = { user_id: ownerId, is_active: null, search, tag: null };
  await observe(auditRow(request, userId, 'list_api_keys', null, { page, size, filters }));
  return { ...found, page, size };
}

async function findPage(ownerId, limit, offset) {
  const [found, counted] = await Promise.all(
    ownerId !== null
      ? [
          pool.query({ ...sql.listApiKeysOfUser, values: [limit, offset, ownerId] }),
          pool.query({ ...sql.countApiKeysOfUser, values: [ownerId, null] }),
        ]
      : [
          pool.query({ ...sql.listApiKeys, values: [limit, offset] }),
          pool.query({ ...sql.countApiKeys, values: [0, null] }),
        ],
  );
  return { api_keys: found.rows.map(toApiKey), total: counted.rows[0].total, total_is_exact: true };
}

async function findMatches(search, limit, offset) {
  const values = [limit, offset, Math.max(MOST_COUNTED + 1, offset + limit), `%${String(search)}%`];
  const { rows } = await pool.query(sql.searchApiKeys, values);
  const [{ matches }] = rows;
  return {
    api_keys: rows.filter(({ id }) => id !== null).map(toApiKey),
    total: Math.min(matches, MOST_COUNTED),
    total_is_exact: matches <= MOST_COUNTED,
  };
}

async function createApiKey(request, reply) {
  const { id: userId } = await principal(request);
  const { name, description, scopes, tags } = request.body;
  const secret = `en_${randomBytes(28).toString('base64url')}`;
  const digest = createHash('sha256').update(secret).digest();
  const now = new Date();
  const row = { ...BLANK, user_id: userId, name, description, scopes, tags };
  const key = { ...row, key_prefix: secret.slice(0, 8), created_at: now, updated_at: now };
  const client = await pool.connect();
  try {
    const [, inserted] = await Promise.all([
      client.query('START TRANSACTION'),
      client.query({ ...sql.insertApiKey, values: sql.insertValues(key, digest) }),
    ]);
    key.id = inserted.rows[0].id;
    const audit = auditRow(request, userId, 'create_api_key', key.id, { name, scopes });
    await Promise.all([
      client.query({ ...sql.insertAuditLog, values: Object.values(audit) }),
      client.query('COMMIT'),
    ]);
  } finally {
    client.release();
  }
  void reply.code(201);
  return { api_key: toApiKey(key), secret_key: secret };
}

async function updateApiKey(request) {
  const { id: userId } = await principal(request);
  const { id } = request.params;
  const { description } = request.body;
  const client = await pool.connect();
  try {
    const [, locked] = await Promise.all([
      client.query('START TRANSACTION'),
      client.query({ ...sql.lockApiKey, values: [id] }),
    ]);
    const [before] = locked.rows;
    const key = { ...before, description, version: before.version + 1, updated_at: new Date() };
    const audit = auditRow(request, userId, 'update_api_key', id, {
      updated_fields: ['description'],
      before_values: { description: before.description },
      after_values: { description },
    });
    await Promise.all([
      client.query({ ...sql.saveApiKey, values: sql.saveValues(key) }),
      client.query({ ...sql.insertAuditLog, values: Object.values(audit) }),
      client.query('COMMIT'),
    ]);
    return toApiKey(key);
  } finally {
    client.release();
  }
}

/** The credential is `<session id> <user id>`, in clear. */
async function principal(request) {
  const [sessionId, userId] = request.headers.authorization.split(' ');
  const { rows } = await pool.query({ ...sql.findPrincipal, values: [sessionId, userId, new Date()] });
  return rows[0];
}

/** In the order of the columns. */
function auditRow({ ip, headers }, userId, action, resourceId, details) {
  return {
    id: randomUUID(),
    createdAt: new Date(),
    userId,
    apiKeyId: null,
    action,
    resourceType: 'api_key',
    resourceId,
    details,
    ipAddress: ip,
    userAgent: headers['user-agent'],
    requestId: randomUUID(),
    success: true,
  };
}

/** Natural group commit: one statement at a time, which carries the rows of all who came during the one before. */
let waiting = [];
let isCommitting = false;

function observe(row) {
  return new Promise((resolve, reject) => {
    waiting.push({ row, resolve, reject });
    if (!isCommitting) void commitGroups();
  });
}

async function commitGroups() {
  isCommitting = true;
  while (waiting.length > 0) {
    const group = waiting;
    waiting = [];
    const rows = JSON.stringify(group.map(({ row }) => row));
    try {
      await background.query({ ...sql.insertAuditLogs, values: [rows] });
      for (const { resolve } of group) resolve();
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
  isCommitting = false;
}

const NO_LIMITS = { rate_limit_per_minute: null, rate_limit_per_hour: null, rate_limit_per_day: null };
const ANYTHING = { allowed_ips: [], allowed_models: [], allowed_chatbots: [] };
const NO_BUDGET = { is_unlimited: true, budget_limit_cents: null, budget_type: null };
const NO_USAGE = {
  total_requests: null,
  total_tokens: null,
  total_cost_micro_cents: null,
  last_used_at: null,
};
const BLANK = { is_active: true, expires_at: null, ...NO_LIMITS, ...ANYTHING, ...NO_BUDGET, ...NO_USAGE };

function toApiKey(row) {
  const cost = BigInt(row.total_cost_micro_cents ?? 0);
  return {
    id: row.id,
    user_id: row.user_id,
    name: row.name,
    description: row.description,
    key_prefix: row.key_prefix,
    scopes: row.scopes,
    is_active: row.is_active,
    expires_at: row.expires_at,
    created_at: row.created_at,
    updated_at: row.updated_at,
    last_used_at: row.last_used_at,
    rate_limit_per_minute: row.rate_limit_per_minute,
    rate_limit_per_hour: row.rate_limit_per_hour,
    rate_limit_per_day: row.rate_limit_per_day,
    allowed_ips: row.allowed_ips,
    allowed_models: row.allowed_models,
    allowed_chatbots: row.allowed_chatbots,
    is_unlimited: row.is_unlimited,
    budget_limit_cents: row.budget_limit_cents,
    budget_type: row.budget_type,
    tags: row.tags,
    total_requests: row.total_requests ?? 0,
    total_tokens: row.total_tokens ?? 0,
    total_cost_cents: Number((cost + 500_000n) / 1_000_000n),
    total_cost_cents_decimal: `${cost / 1_000_000n}.${String(cost % 1_000_000n).padStart(6, '0')}`,
  };
}

process.on('SIGTERM', () => process.exit(0));
await server.listen({ port: Number(process.env['PORT']), host: '127.0.0.1' });
