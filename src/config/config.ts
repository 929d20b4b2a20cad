import type { Secret } from '../common/secret.js';
import { StartFailure } from '../common/start-failure.js';

/** One pepper of the keyed digest of API-key secrets; `version` is stored beside each digest. */
export interface Pepper {
  readonly version: number;
  readonly secret: Secret;
}

/** The checked configuration. Injected by this class; made by `loadConfig`. Durations are seconds. */
export abstract class Config {
  abstract readonly isProduction: boolean;
  abstract readonly host: string;
  abstract readonly port: number;
  abstract readonly dataDir: string;
  /** Undefined: the embedded PostgreSQL under `dataDir`. */
  abstract readonly databaseUrl: Secret | undefined;
  /** The role that owns the schema; undefined: the same as `databaseUrl`. */
  abstract readonly databaseMigrationUrl: Secret | undefined;
  /** The schema of our tables and functions. */
  abstract readonly databaseSchema: string;
  abstract readonly databasePoolSize: number;
  abstract readonly redisUrl: Secret | undefined;
  /** The first signs access tokens; all verify them. */
  abstract readonly jwtSecrets: readonly [Secret, ...Secret[]];
  abstract readonly accessTokenTtlSeconds: number;
  abstract readonly refreshTokenTtlSeconds: number;
  /** The first is that of new keys; all are accepted. */
  abstract readonly apiKeyPrefixes: readonly [string, ...string[]];
  /** The first makes new digests; all are accepted. */
  abstract readonly apiKeyPeppers: readonly Pepper[];
  abstract readonly adminUsername: string;
  abstract readonly adminPassword: Secret | undefined;
  abstract readonly corsOrigins: readonly string[];
  /** Where callers reach the service, without a slash at the end; undefined where they read the API document. */
  abstract readonly publicUrl: string | undefined;
  /** Addresses and CIDR blocks whose `X-Forwarded-For` is believed. */
  abstract readonly trustedProxies: readonly string[];
  abstract readonly logLevel: string;
  abstract readonly logFormat: 'json' | 'pretty';
  abstract readonly bcryptCost: number;
  abstract readonly loginFailureWindowSeconds: number;
  abstract readonly loginFailuresPerAccountAndAddress: number;
  abstract readonly loginFailuresPerAddress: number;
  /** How long a stop lets balancers notice that this instance is not ready, before it stops to accept requests. */
  abstract readonly shutdownDrainSeconds: number;
  abstract readonly shutdownTimeoutSeconds: number;
  /** How long a start waits for a database that does not answer yet. */
  abstract readonly startupTimeoutSeconds: number;
  /** Days that single usage events are kept; rollups and totals are kept for ever. */
  abstract readonly usageRetentionDays: number;
  /** Whole months that the audit log is kept besides the one that runs; undefined for ever. */
  abstract readonly auditRetentionMonths: number | undefined;
  /** Bytes of memory for cached keys. */
  abstract readonly keyCacheBytes: number;
  /** Sentences about variables that are ignored. */
  abstract readonly warnings: readonly string[];
}

/** Raised at boot with every problem at once; names variables and rules, never values. */
export class ConfigurationError extends StartFailure {
  override readonly name = 'ConfigurationError';

  constructor(readonly problems: readonly string[]) {
    super(`The configuration is not usable:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`);
  }
}
