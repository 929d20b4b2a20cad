import type { TrialOptions } from './comparison.js';

/** Flags that every benchmark of two contenders has, for `parseArgs`. */
export const TRIAL_FLAGS = {
  write: { type: 'boolean', default: false },
  seconds: { type: 'string', default: '3' },
  rounds: { type: 'string', default: '5' },
  connections: { type: 'string', default: '64' },
} as const;

/** What they say. */
export function trialOptions(flags: Readonly<Record<keyof TrialOptions, string>>): TrialOptions {
  return {
    seconds: Number(flags.seconds),
    rounds: Number(flags.rounds),
    connections: Number(flags.connections),
  };
}
