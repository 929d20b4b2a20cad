// @ts-check
/**
 * What a verdict costs on bare node:http: parse, digest, look up, check, count in three sliding windows, answer. It
 * knows its keys from the file named by KEYS and nothing else; it validates no more than it needs, logs nothing, and
 * has no framework under it.
 */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

/**
 * @typedef {{ id: number, name: string, userId: number, secret: string, scopes: string[], tags: string[],
 *   network: number, mask: number, modelPrefix: string, limits: [number, number, number] }} Key
 * @typedef {Key & { counts: Uint32Array, ticks: Float64Array }} LiveKey
 */
const BUCKETS = 10;
const WINDOWS = /** @type {const} */ ([
  ['minute', 60_000],
  ['hour', 3_600_000],
  ['day', 86_400_000],
]);
const MAY_VERIFY = 'platform:api-keys:verify';

/** @type {Map<string, LiveKey>} */
const keys = new Map();
for (const key of /** @type {Key[]} */ (JSON.parse(readFileSync(process.env['KEYS'] ?? '', 'utf8')))) {
  const live = { ...key, counts: new Uint32Array(3 * (BUCKETS + 1)), ticks: new Float64Array(3) };
  keys.set(digest(key.secret), live);
}

/** @param {string} secret */
function digest(secret) {
  return hash('sha256', secret, 'binary');
}

/** @param {string} address @returns {number} an IPv4 address as an unsigned integer */
function ipv4(address) {
  let value = 0;
  let part = 0;
  for (let at = 0; at < address.length; at += 1) {
    const code = address.charCodeAt(at);
    if (code === 46) {
      value = value * 256 + part;
      part = 0;
    } else part = part * 10 + code - 48;
  }
  return (value * 256 + part) >>> 0;
}

/**
 * Takes one from every window, or from none.
 * @param {LiveKey} key @param {number} now
 */
function take(key, now) {
  const { counts, ticks, limits } = key;
  let allowed = true;
  const windows = [];
  for (let index = 0; index < 3; index += 1) {
    const [window, length] = WINDOWS[index] ?? WINDOWS[0];
    const step = length / BUCKETS;
    const tick = Math.floor(now / step);
    const base = index * (BUCKETS + 1);
    for (let behind = Math.min(tick - (ticks[index] ?? 0), BUCKETS + 1); behind > 0; behind -= 1) {
      counts[base + ((tick - behind + 1) % (BUCKETS + 1))] = 0;
    }
    ticks[index] = tick;
    let used = 0;
    for (let at = base; at < base + BUCKETS + 1; at += 1) used += counts[at] ?? 0;
    const limit = limits[index] ?? 0;
    allowed = allowed && used < limit;
    windows.push({
      window,
      limit,
      remaining: limit - used,
      reset_at: (tick + BUCKETS + 1) * step,
      slot: base + (tick % (BUCKETS + 1)),
    });
  }
  const rateLimits = windows.map(({ slot, reset_at, remaining, ...state }) => {
    if (allowed) counts[slot] = (counts[slot] ?? 0) + 1;
    return { ...state, remaining: allowed ? remaining - 1 : remaining, reset_at: iso(reset_at) };
  });
  return { allowed, rateLimits };
}

/** @type {Map<number, string>} windows end at few different moments */
const timestamps = new Map();
/** @param {number} time */
function iso(time) {
  let text = timestamps.get(time);
  if (text === undefined) timestamps.set(time, (text = new Date(time).toISOString()));
  return text;
}

/** @param {{ key: string, ip: string, model: string }} question */
function verdict({ key: secret, ip, model }) {
  const key = keys.get(digest(secret));
  if (key === undefined) return { valid: false, code: 'NOT_FOUND' };
  let code = 'VALID';
  if ((ipv4(ip) & key.mask) >>> 0 !== key.network) code = 'IP_NOT_ALLOWED';
  else if (!model.startsWith(key.modelPrefix)) code = 'MODEL_NOT_ALLOWED';
  const { allowed, rateLimits } = take(key, Date.now());
  if (code === 'VALID' && !allowed) code = 'RATE_LIMITED';
  const { id, name, userId, scopes, tags } = key;
  return {
    valid: code === 'VALID',
    code,
    api_key_id: id,
    name,
    user_id: userId,
    scopes,
    tags,
    expires_at: null,
    rate_limits: rateLimits,
    budget: null,
  };
}

createServer((request, response) => {
  /** @type {Buffer[]} */
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const caller = keys.get(digest(String(request.headers['x-api-key'])));
    if (caller === undefined || !caller.scopes.includes(MAY_VERIFY)) {
      response.writeHead(403).end();
      return;
    }
    const body = JSON.parse((chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))?.toString() ?? '');
    const answer = JSON.stringify(
      'requests' in body ? { verdicts: body.requests.map(verdict) } : verdict(body),
    );
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(answer),
    });
    response.end(answer);
  });
}).listen(Number(process.env['PORT']), '127.0.0.1');
