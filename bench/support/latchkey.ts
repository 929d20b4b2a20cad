import { execFileSync } from 'node:child_process';
import { projectPath } from '../../src/common/project-path.js';
import type { Cleanup } from './cleanup.js';
import type { BenchDatabase } from './seeded-database.js';
import { type ServerProcess, startServer } from './server-process.js';

/** Connections to PostgreSQL that Latchkey, by default, and the reference servers have for people's requests. */
export const POOL_SIZE = 10;

/** The pepper under which Latchkey digests secrets in benchmarks. */
export const BENCH_PEPPER = 'pepper_of_the_benchmarks_long_enough_for_them';

/** Starts Latchkey as it runs in production, built from the sources as they are. `nodeFlags` may ask for a profile. */
export async function startLatchkey(
  database: BenchDatabase,
  cleanup: Cleanup,
  nodeFlags: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
  { isPinned = true } = {},
): Promise<ServerProcess> {
  execFileSync(process.execPath, ['scripts/build.mjs', '--if-stale'], {
    cwd: projectPath('.'),
    stdio: 'inherit',
  });
  const latchkey = await startServer({
    name: 'Latchkey',
    nodeArguments: [...nodeFlags, 'dist/src/main.js'],
    isPinned,
    environment: {
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      DATABASE_URL: database.url,
      DATABASE_POOL_SIZE: String(POOL_SIZE),
      JWT_SECRET: 'jwt secret of the benchmarks, long enough for them',
      API_KEY_PEPPERS: `1:${BENCH_PEPPER}`,
      ACCESS_TOKEN_TTL_SECONDS: '86400',
      BCRYPT_COST: '10',
      LOG_LEVEL: 'warn',
      LOG_FORMAT: 'json',
      ...environment,
    },
  });
  cleanup.add(() => latchkey.stop());
  return latchkey;
}

/** Starts a server of bench/reference over the same database. */
export async function startReference(
  script: string,
  database: BenchDatabase,
  cleanup: Cleanup,
  nodeFlags: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  const reference = await startServer({
    name: 'The reference',
    nodeArguments: [...nodeFlags, `bench/reference/${script}`],
    environment: {
      NODE_ENV: 'production',
      DATABASE_URL: database.url,
      DATABASE_POOL_SIZE: String(POOL_SIZE),
      ...environment,
    },
  });
  cleanup.add(() => reference.stop());
  return reference;
}
