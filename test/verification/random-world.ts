import fc from 'fast-check';
import type { TestDatabase } from '../support/database.js';
import type { Question } from './reference.js';
import { digestOf, newSecret, withChecksum } from './secrets.js';

/** The world's time, its keys and owners, and questions about them. Much is drawn from few values, so that much fits. */
export const WORLD_TIME = Date.now();
export const PEPPERS = ['first_pepper_of_the_random_world_0', 'second_pepper_of_the_random_world'] as const;
export const PREFIXES = ['en_', 'former_'] as const;
const OWNERS = 24;

const IPV4 = (
  '10.0.0.0 10.0.0.1 10.0.0.127 10.0.0.128 10.0.0.255 10.0.1.0 10.1.0.0 11.0.0.0 ' +
  '127.0.0.1 128.0.0.1 192.0.2.1 255.255.255.255 0.0.0.0'
).split(' ');
const IPV6 = (
  '2001:db8:: 2001:db8::1 2001:db8::ffff 2001:db8:0:1:: 2001:db8:7fff::1 2001:db8:8000::1 ' +
  ':: ::1 ::a00:1 fe80::1 64:ff9b::a00:1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2002::1'
).split(' ');
const OTHER_SPELLINGS = (
  '2001:DB8::1 2001:0db8:0000:0000:0000:0000:0000:0001 ::FFFF:10.0.0.1 ::ffff:a00:1 ' +
  '0:0:0:0:0:ffff:10.0.0.128 fe80::1%eth0 ::10.0.0.1 2001:db8::0.0.0.1'
).split(' ');
const SCOPES = ['chat', 'chat:write', 'embeddings', 'a b', 'CHAT', '*', 'platform:api-keys:read', 'ünï'];

const ipv4 = fc.constantFrom(...IPV4);
const ipv6 = fc.constantFrom(...IPV6);
const addressEntry = fc.oneof(
  ipv4,
  ipv6,
  fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([address, bits]) => `${address}/${bits}`),
  fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([address, bits]) => `${address}/${bits}`),
  fc.tuple(ipv4, fc.integer({ min: 80, max: 128 })).map(([address, bits]) => `::ffff:${address}/${bits}`),
  ipv4.map((address) => `::ffff:${address}`),
);
const address = fc.oneof(
  ipv4,
  ipv6,
  ipv4.map((mapped) => `::ffff:${mapped}`),
  fc.constantFrom(...OTHER_SPELLINGS),
);

const NAMES = ['', ...'gpt-4 gpt-4o gpt-4-mini gpt- GPT-4 claude-3 * gpt-4* éa 🔑x a.b'.split(' ')];
const GLOBS = 'gpt-* gpt-4* *-mini gpt-*-mini * ** claude-* *4* é* 🔑* a.* [a-z]* (*'.split(' ');
const shortText = (letters: string, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength });
const pattern = fc.oneof(
  fc.constantFrom(...NAMES.filter((name) => name !== '')),
  fc.constantFrom(...GLOBS),
  shortText('ab*', 6),
);
const name = fc.oneof(fc.constantFrom(...NAMES), shortText('ab', 8), shortText('ab*', 4));

/** Empty more often than not, so that the later checks are reached. */
const listOf = (entry: fc.Arbitrary<string>, freedom = 2) =>
  fc.oneof(
    { weight: freedom, arbitrary: fc.constant<string[]>([]) },
    { weight: 1, arbitrary: fc.uniqueArray(entry, { minLength: 1, maxLength: 4 }) },
  );
const mostly = <Value>(usual: Value, ...others: Value[]) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );
const limit = fc.option(fc.constantFrom(1, 2, 7, 50, 10_000), { freq: 2 });

/** The parts of a policy that a change may touch while questions are asked; a set window stays set. */
const policy = fc.record({
  is_active: mostly(true, false),
  // The very moment is over, the millisecond after it is not.
  expires_at: mostly<string | null>(
    null,
    ...[-1, 0, 1, 86_400_000, 86_400_000 * 400].map((ms) => new Date(WORLD_TIME + ms).toISOString()),
  ),
  allowed_ips: listOf(addressEntry),
  allowed_models: listOf(pattern),
  allowed_chatbots: listOf(pattern, 4),
  scopes: fc.uniqueArray(fc.constantFrom(...SCOPES), { maxLength: 6 }),
  tags: fc.uniqueArray(fc.constantFrom('a', 'b', 'prod', '"quoted"'), { maxLength: 3 }),
});

const amount = fc.constantFrom(0, 1, 999_999, 1_000_000, 1_500_001, 5_000_000);
const account = fc.option(
  fc.record({
    limit_micro_cents: fc.constantFrom(0, 1_000_000, 5_000_000, 10_000_000, 1_000_000_000_000_000),
    period_type: fc.constantFrom('total', 'monthly'),
    month: fc.constantFrom(monthsAgo(0), monthsAgo(1), monthsAgo(12)),
    spent_micro_cents: amount,
    held_micro_cents: amount,
  }),
  { freq: 2 },
);

const key = fc.record({
  owner: fc.integer({ min: 1, max: OWNERS }),
  policy,
  rate_limit_per_minute: limit,
  rate_limit_per_hour: limit,
  rate_limit_per_day: limit,
  account,
  is_deleted: mostly(false, true),
  prefix: fc.constantFrom(...PREFIXES),
  pepper: fc.constantFrom(...PEPPERS),
  retiringAfterMs: fc.option(fc.constantFrom(-1, 0, 1, 60_000), { freq: 2 }),
});

interface Secret {
  readonly secret: string;
  readonly pepper: string;
  readonly keyId: number;
  readonly retires_at: string | null;
}

/** Some hundred keys, written to the tables past the service, and a source of questions about them. */
export class RandomWorld {
  readonly #keys;
  readonly #secrets: Secret[];

  constructor(
    readonly seed: number,
    keys: number,
  ) {
    this.#keys = fc.sample(key, { seed, numRuns: keys });
    this.#secrets = this.#keys.flatMap(({ prefix, pepper, retiringAfterMs }, index) => {
      const current = { secret: newSecret(prefix), pepper, keyId: index + 1, retires_at: null };
      if (retiringAfterMs === null) return [current];
      const retires_at = new Date(WORLD_TIME + retiringAfterMs).toISOString();
      return [current, { ...current, secret: newSecret(prefix), retires_at }];
    });
  }

  get size(): number {
    return this.#keys.length;
  }

  async insertInto(database: TestDatabase): Promise<void> {
    await database.query(
      `INSERT INTO users (id, username, password_hash, role, is_active, deleted_at) OVERRIDING SYSTEM VALUE
       SELECT 1000 + n, 'owner-' || n, '-', 'user', n % 8 <> 0, CASE WHEN n % 9 = 0 THEN now() END
       FROM generate_series(1, ${OWNERS}) AS n`,
    );
    const rows = this.#keys.map(({ policy: fields, ...row }, index) => ({
      id: index + 1,
      ...row,
      ...fields,
    }));
    await database.query(
      `INSERT INTO api_keys (id, user_id, name, key_prefix, scopes, is_active, expires_at, rate_limit_per_minute,
         rate_limit_per_hour, rate_limit_per_day, allowed_ips, allowed_models, allowed_chatbots, tags, deleted_at)
       OVERRIDING SYSTEM VALUE
       SELECT id, 1000 + owner, 'key ' || id, 'hint', scopes, is_active, expires_at, rate_limit_per_minute,
         rate_limit_per_hour, rate_limit_per_day, allowed_ips, allowed_models, allowed_chatbots, tags,
         CASE WHEN is_deleted THEN now() END
       FROM jsonb_to_recordset($1) AS row (id bigint, owner bigint, scopes text[], is_active boolean, is_deleted boolean,
         expires_at timestamptz, rate_limit_per_minute int, rate_limit_per_hour int, rate_limit_per_day int,
         allowed_ips text[], allowed_models text[], allowed_chatbots text[], tags text[])`,
      [JSON.stringify(rows)],
    );
    const accounts = rows.flatMap(({ id, account: held }) => (held === null ? [] : [{ id, ...held }]));
    await database.query(
      `INSERT INTO budget_accounts (api_key_id, limit_micro_cents, period_type, period_start, spent_micro_cents, held_micro_cents)
       SELECT id, limit_micro_cents, period_type, CASE period_type WHEN 'monthly' THEN month ELSE '-infinity' END,
         spent_micro_cents, held_micro_cents
       FROM jsonb_to_recordset($1) AS row (id bigint, limit_micro_cents bigint, period_type text, month timestamptz,
         spent_micro_cents bigint, held_micro_cents bigint)`,
      [JSON.stringify(accounts)],
    );
    await database.query(
      `INSERT INTO api_key_secrets (digest, pepper_version, api_key_id, retires_at)
       SELECT decode(digest, 'hex'), 1, key_id, retires_at
       FROM jsonb_to_recordset($1) AS row (digest text, key_id bigint, retires_at timestamptz)`,
      [JSON.stringify(this.#secrets.map(rowOfSecret))],
    );
  }

  /** Changes the policies of some keys and the state of an owner, as somebody would at the database's own prompt. */
  async change(database: TestDatabase, round: number): Promise<void> {
    const changes = fc.sample(fc.record({ id: fc.integer({ min: 1, max: this.size }), policy }), {
      seed: this.seed + round,
      numRuns: 20,
    });
    const rows = new Map(changes.map(({ id, policy: fields }) => [id, { id, ...fields }]));
    await database.query(
      `UPDATE api_keys SET scopes = row.scopes, is_active = row.is_active, expires_at = row.expires_at, tags = row.tags,
         allowed_ips = row.allowed_ips, allowed_models = row.allowed_models, allowed_chatbots = row.allowed_chatbots
       FROM jsonb_to_recordset($1) AS row (id bigint, scopes text[], is_active boolean, expires_at timestamptz,
         tags text[], allowed_ips text[], allowed_models text[], allowed_chatbots text[])
       WHERE api_keys.id = row.id`,
      [JSON.stringify([...rows.values()])],
    );
    await database.query('UPDATE users SET is_active = NOT is_active WHERE id = $1', [
      1_001 + (round % OWNERS),
    ]);
  }

  /** Questions in parts of no common key: what one part takes is nothing to the others. */
  questions(round: number, parts: number, inEach: number): Question[][] {
    return Array.from({ length: parts }, (_, part) => {
      const own = this.#secrets.filter(({ keyId }) => keyId % parts === part).map(({ secret }) => secret);
      const asked = fc.oneof(
        { weight: 20, arbitrary: fc.constantFrom(...own) },
        { weight: 1, arbitrary: fc.constantFrom(...own).chain(forgery) },
      );
      return fc.sample(questionOf(asked), { seed: this.seed + round * parts + part, numRuns: inEach });
    });
  }
}

function monthsAgo(months: number): string {
  const now = new Date(WORLD_TIME);
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months)).toISOString();
}

function rowOfSecret({ secret, pepper, keyId, retires_at }: Secret): Record<string, unknown> {
  return { digest: digestOf(secret, pepper).toString('hex'), key_id: keyId, retires_at };
}

/** A text that is almost a secret, with or without the right checksum. */
function forgery(secret: string): fc.Arbitrary<string> {
  return fc.oneof(
    fc
      .integer({ min: 0, max: secret.length - 1 })
      .map((at) => `${secret.slice(0, at)}0${secret.slice(at + 1)}`),
    fc
      .integer({ min: 8, max: secret.length - 7 })
      .map((at) => withChecksum(`${secret.slice(0, at)}0${secret.slice(at + 1, -6)}`)),
    fc.constantFrom(
      secret.toLowerCase(),
      ` ${secret}`,
      `${secret}\n`,
      secret.slice(0, 8),
      '',
      newSecret('other_'),
      newSecret(),
    ),
  );
}

function questionOf(asked: fc.Arbitrary<string>): fc.Arbitrary<Question> {
  return fc.record(
    {
      key: asked,
      ip: address,
      model: name,
      chatbot: name,
      scopes: fc.array(fc.constantFrom(...SCOPES), { maxLength: 2 }),
      cost: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.constantFrom(0, 2, 5, 51, 1_000_000)),
    },
    { requiredKeys: ['key'] },
  );
}
