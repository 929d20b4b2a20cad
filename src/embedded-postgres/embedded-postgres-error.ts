import { open } from 'node:fs/promises';
import { StartFailure } from '../common/start-failure.js';

/** A failure of the embedded server whose message tells the operator, in sentences, what to do. */
export class EmbeddedPostgresError extends StartFailure {
  override readonly name = 'EmbeddedPostgresError';
}

const TAIL_BYTES = 8192;
const TAIL_LINES = 15;

/** The last lines of a log file, introduced by its path, ready to be appended to an error message. */
export async function lastLinesOf(logFile: string): Promise<string> {
  try {
    const file = await open(logFile, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, TAIL_BYTES);
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
      const lines = buffer.toString('utf8').trimEnd().split('\n').slice(-TAIL_LINES);
      return `\nThe last lines of ${logFile}:\n${lines.join('\n')}`;
    } finally {
      await file.close();
    }
  } catch {
    return `\n(Its log ${logFile} could not be read.)`;
  }
}

/** The `code` of a system error such as ENOENT, or undefined for anything else. */
export function errorCodeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Resolves to undefined where the awaited file, directory or process does not exist. */
export async function unlessMissing<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    const code = errorCodeOf(error);
    // ESRCH is how /proc says that the process ended between two reads.
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
