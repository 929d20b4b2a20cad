import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Creates a folder and those above it that are missing, each with this mode. Not `mkdirSync` with `recursive`, which never
 * returns where the parent is there and the system still answers ENOENT, as below `/proc`.
 * @throws Error of the system, with its code and the path
 */
export function makeFolder(folder: string, mode: number): void {
  if (existsSync(folder)) return;
  const parent = dirname(folder);
  if (parent !== folder) makeFolder(parent, mode);
  try {
    mkdirSync(folder, { mode });
  } catch (error) {
    // Another process that starts created it meanwhile.
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}
