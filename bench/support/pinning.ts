import { spawnSync } from 'node:child_process';

/** Where the servers under test run, one at a time under load, and where the load comes from. PostgreSQL runs on both. */
export const SERVER_CORE = 0;
export const LOAD_CORE = 1;

let isPossible: boolean | undefined;

/** True when processes can be held to one core here: `taskset` is there and so are two cores. */
export function canPin(): boolean {
  isPossible ??= spawnSync('taskset', ['-c', `${SERVER_CORE},${LOAD_CORE}`, 'true']).status === 0;
  return isPossible;
}

/** The command that runs `command` on one core, or `command` itself where pinning is not possible. */
export function pinned(core: number, command: readonly string[]): readonly string[] {
  return canPin() ? ['taskset', '-c', String(core), ...command] : command;
}
