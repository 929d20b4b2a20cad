/** A setting as documents describe it. */
interface Setting {
  /** What it does, and which values it takes; the bounds of numbers are added to it. */
  readonly meaning: string;
  /** The default as documents show it; a number for settings that are numbers. */
  readonly default: string | number;
  /** Values that a number may have, both included. */
  readonly minimum?: number;
  readonly maximum?: number;
  /** The value that `.env.example` shows; the default where there is none. */
  readonly example?: string;
}

/**
 * Every environment variable that the service reads, by the heading under which documents show it. The bounds and defaults of
 * numbers are read from here (`EnvironmentReader.integer`); the rules of other values are in `loadConfig`. `.env.example`
 * and the table in `docs/configuration.md` are generated from it by `npm run docs`.
 */
export const SETTING_GROUPS = {
  'The process': {
    NODE_ENV: {
      meaning:
        '`development`, `test` or `production`. Production requires the secrets and a `BCRYPT_COST` of at least 10.',
      default: '`development`',
      example: 'production',
    },
    HOST: {
      meaning: 'The address to listen on. `0.0.0.0` is every IPv4 address of the machine.',
      default: '`127.0.0.1`',
      example: '0.0.0.0',
    },
    PORT: {
      meaning: 'The port to listen on; 0 takes a free one.',
      default: 3000,
      minimum: 0,
      maximum: 65_535,
    },
    DATA_DIR: {
      meaning: 'The folder of the embedded PostgreSQL and of the secrets that are generated in development.',
      default: '`.data` in the current folder',
      example: '.data',
    },
    STARTUP_TIMEOUT_SECONDS: {
      meaning: 'How long a start waits for a database that does not respond yet.',
      default: 30,
      minimum: 0,
      maximum: 3_600,
    },
    SHUTDOWN_DRAIN_SECONDS: {
      meaning:
        'How long a stopping instance still serves while readiness is 503, so that balancers notice. In production the default is 5.',
      default: 0,
      minimum: 0,
      maximum: 300,
      example: '5',
    },
    SHUTDOWN_TIMEOUT_SECONDS: {
      meaning: 'How long a stop then waits for requests in flight.',
      default: 10,
      minimum: 1,
      maximum: 300,
    },
  },
  'PostgreSQL and Redis': {
    DATABASE_URL: {
      meaning:
        '`postgres://…` or `postgresql://…`. It may name several hosts, separated by commas: the first that accepts writes is used. Not set: the embedded PostgreSQL under `DATA_DIR`.',
      default: 'not set',
      example: 'postgresql://latchkey:PASSWORD@127.0.0.1:5432/latchkey',
    },
    DATABASE_MIGRATION_URL: {
      meaning:
        'The same database with the role that owns the schema, where `DATABASE_URL` names a role that only uses it. Needs `DATABASE_URL`.',
      default: '`DATABASE_URL`',
      example: 'postgresql://latchkey_owner:PASSWORD@127.0.0.1:5432/latchkey',
    },
    DATABASE_SCHEMA: {
      meaning:
        'The schema of the tables and functions: 1 to 63 lower-case letters, digits and `_`, not beginning with a digit or `pg_`. It is created when it is missing, if the owner may.',
      default: '`public`',
      example: 'latchkey',
    },
    DATABASE_POOL_SIZE: {
      meaning: 'Connections for requests in each instance; each instance uses up to 19 more for other work.',
      default: 10,
      minimum: 2,
      maximum: 500,
    },
    REDIS_URL: {
      meaning:
        'Where instances share their rate windows: `redis://…` or `rediss://…`, nodes of a Redis Cluster separated by commas, or `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/MASTER` (`rediss+sentinel://` with TLS; user and password are those of Redis, `?sentinel_password=…` is that of the Sentinels). Not set: each instance counts for itself.',
      default: 'not set',
      example: 'redis://:PASSWORD@127.0.0.1:6379',
    },
  },
  Secrets: {
    JWT_SECRETS: {
      meaning:
        'Secrets of access tokens (HS256), comma-separated, each at least 32 bytes. The first signs, all verify. Required in production, here or as `JWT_SECRET`. Generate one with `openssl rand -hex 32`.',
      default: 'generated once and kept in `DATA_DIR/secrets.json`',
      example: '',
    },
    JWT_SECRET: {
      meaning: 'One such secret instead of the list. Ignored where `JWT_SECRETS` is set.',
      default: 'not set',
      example: '',
    },
    API_KEY_PEPPERS: {
      meaning:
        'Keys of the digests of API keys: `version:secret` pairs, comma-separated, the current one first; versions of 1 to 4 digits, each secret at least 32 bytes without spaces and commas. Required in production. A key whose pepper is lost can never be verified again.',
      default: 'generated once, as version 1, and kept in `DATA_DIR/secrets.json`',
      example: '2:NEW_SECRET,1:OLD_SECRET',
    },
  },
  'API keys': {
    API_KEY_PREFIX: {
      meaning: 'How new secrets begin: 2 to 16 letters, digits and `_`, ending in `_`.',
      default: '`en_`',
      example: 'en_',
    },
    API_KEY_FORMER_PREFIXES: {
      meaning: 'Comma-separated prefixes of secrets created earlier, which are still accepted.',
      default: 'none',
      example: '',
    },
  },
  'Users and sessions': {
    ADMIN_USERNAME: {
      meaning:
        'Name of the admin that an empty database gets: 1 to 64 of the characters `A-Z a-z 0-9 . _ @ + -`. No effect later.',
      default: '`admin`',
      example: 'admin',
    },
    ADMIN_PASSWORD: {
      meaning:
        'Password of that admin: at least 12 characters and at most 72 bytes. Not set: a random one, shown once and kept in `DATA_DIR/initial-admin-password` until the first login.',
      default: 'generated',
      example: '',
    },
    ACCESS_TOKEN_TTL_SECONDS: {
      meaning: 'Life of an access token.',
      default: 900,
      minimum: 30,
      maximum: 86_400,
    },
    REFRESH_TOKEN_TTL_SECONDS: {
      meaning: 'Life of a session after its last refresh.',
      default: 2_592_000,
      minimum: 60,
      maximum: 31_536_000,
    },
    BCRYPT_COST: {
      meaning: 'Cost of password hashes; one more doubles the time. In production at least 10.',
      default: 12,
      minimum: 4,
      maximum: 16,
    },
    LOGIN_FAILURE_WINDOW_SECONDS: {
      meaning: 'The span over which failed logins are counted.',
      default: 900,
      minimum: 1,
      maximum: 86_400,
    },
    LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: {
      meaning:
        'Failures in that span for one account from one address, after which further logins are refused.',
      default: 10,
      minimum: 1,
      maximum: 1_000,
    },
    LOGIN_FAILURES_PER_ADDRESS: {
      meaning: 'Failures in that span from one address, for all accounts together.',
      default: 100,
      minimum: 1,
      maximum: 100_000,
    },
  },
  Network: {
    CORS_ORIGINS: {
      meaning:
        'Origins whose pages may call the API from a browser: comma-separated, without a path or a slash at the end; or `*` for all.',
      default: 'none',
      example: 'https://console.example.com',
    },
    PUBLIC_URL: {
      meaning:
        'Where callers reach this service, such as `https://keys.example.com`: the address that the served API document names as its server.',
      default: 'the address that the document is read from',
      example: 'https://keys.example.com',
    },
    TRUSTED_PROXIES: {
      meaning:
        'Comma-separated addresses and CIDR blocks of proxies whose `X-Forwarded-For` is believed. From others the header is ignored.',
      default: 'none',
      example: '10.0.0.0/8',
    },
  },
  Logs: {
    LOG_LEVEL: {
      meaning:
        'The least important lines that are written: `fatal`, `error`, `warn`, `info`, `debug`, `trace`, or `silent` for none. Each request is a line of level `info`.',
      default: '`info`',
      example: 'info',
    },
    LOG_FORMAT: {
      meaning: '`json` or `pretty`. In a terminal outside production the default is `pretty`.',
      default: '`json`',
      example: 'json',
    },
  },
  'Memory and retention': {
    SNAPSHOT_CACHE_MEGABYTES: {
      meaning: 'Memory for cached API keys; the least recently used are evicted.',
      default: 192,
      minimum: 1,
      maximum: 65_536,
    },
    AUDIT_RETENTION_MONTHS: {
      meaning: 'Whole months that the audit log is kept besides the current one; 0 keeps all.',
      default: 0,
      minimum: 0,
      maximum: 1_200,
    },
    USAGE_RETENTION_DAYS: {
      meaning: 'Days that single usage events are kept; hourly rollups and totals are kept for ever.',
      default: 90,
      minimum: 31,
      maximum: 3_650,
    },
  },
} as const satisfies Record<string, Record<string, Setting>>;

type Groups = typeof SETTING_GROUPS;
type Named = { [Group in keyof Groups]: Groups[Group] }[keyof Groups];
type NameIn<Group> = Group extends unknown ? keyof Group & string : never;

/** The name of an environment variable that the service reads. */
export type SettingName = NameIn<Named>;

/** Every setting by its name. */
export const SETTINGS = Object.assign({}, ...Object.values(SETTING_GROUPS)) as Readonly<
  Record<SettingName, Setting>
>;
