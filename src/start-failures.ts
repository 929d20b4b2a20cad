import { isAbsolute, relative, resolve } from 'node:path';
import { StartFailure } from './common/start-failure.js';
import type { Config } from './config/config.js';

/** The settings that the explanation of a failed start needs. */
export type StartSettings = Pick<Config, 'host' | 'port' | 'dataDir'>;

/** The settings of an environment that may not be usable. */
export function startSettings({
  HOST: host = '',
  PORT: port = '',
  DATA_DIR: dataDir,
}: Readonly<Record<string, string | undefined>>): StartSettings {
  return { host, port: Number(port), dataDir: resolve(dataDir || '.data') };
}

/** Codes of the file system, and what the operator has to do. */
const FILE_MENDS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there. Change its owner or mode, or choose another DATA_DIR',
  EPERM: 'this user may not write there. Change its owner or mode, or choose another DATA_DIR',
  EROFS: 'the file system is read-only. Mount it writable, or choose another DATA_DIR',
  ENOSPC: 'the disk is full. Make space, or choose another DATA_DIR',
  EDQUOT: 'the quota of this user is used up. Make space, or choose another DATA_DIR',
  ENOTDIR: 'a part of the path is a file. Choose another DATA_DIR',
  EEXIST: 'there is a file of this name. Remove it, or choose another DATA_DIR',
  ENOENT: 'the folder cannot be created. Choose another DATA_DIR',
};

/** Why the start failed, in a sentence with what to do; the stack for an unforeseen failure. */
export function explainStartFailure(error: unknown, settings: StartSettings): string {
  if (error instanceof StartFailure) return error.message;
  if (!(error instanceof Error)) return String(error);
  return listenFailure(error, settings) ?? fileFailure(error, settings) ?? error.stack ?? error.message;
}

function listenFailure(error: NodeJS.ErrnoException, settings: StartSettings): string | undefined {
  const isOfName = error.syscall === 'getaddrinfo';
  if (error.syscall !== 'listen' && !isOfName) return undefined;
  const { host, port } = settings;
  if (isOfName) return `HOST=${host} is not the name of an address of this machine.`;
  if (error.code === 'EADDRINUSE')
    return `Port ${port} of ${host} is in use by another program. Stop it, or set PORT to another port.`;
  if (error.code === 'EACCES')
    return `This user may not listen on port ${port}. Set PORT to 1024 or above, or grant the right to it.`;
  if (error.code === 'EADDRNOTAVAIL')
    return `HOST=${host} is not an address of this machine. Use 127.0.0.1, 0.0.0.0 or one that it has.`;
  return `The service cannot listen on port ${port} of ${host}: ${error.message}.`;
}

function fileFailure(
  { code = '', path }: NodeJS.ErrnoException,
  { dataDir }: StartSettings,
): string | undefined {
  const mend = FILE_MENDS[code];
  if (path === undefined || mend === undefined || !isWithin(path, dataDir)) return undefined;
  return `DATA_DIR (${dataDir}) cannot be used: ${mend}. (${code} at ${path})`;
}

/** True of the folder itself, of what is in it, and of the folders above it. */
function isWithin(path: string, folder: string): boolean {
  const down = relative(folder, path);
  const up = relative(path, folder);
  return [down, up].some((way) => !way.startsWith('..') && !isAbsolute(way));
}
