import { SETTINGS, type SettingName } from './settings.js';

/** Environment variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

interface IntegerBounds {
  readonly default: number;
  readonly minimum: number;
  readonly maximum: number;
}

/** Reads variables and collects every problem, so that one start shows all of them. An empty value counts as not set. */
export class EnvironmentReader {
  readonly problems: string[] = [];
  /** What is usable and yet perhaps not meant. */
  readonly warnings: string[] = [];
  /** Every variable that was asked for: the settings that there are. */
  readonly names = new Set<string>();

  constructor(private readonly environment: Environment) {}

  optional(name: SettingName): string | undefined {
    this.names.add(name);
    const value = this.environment[name];
    return value === undefined || value === '' ? undefined : value;
  }

  text(name: SettingName, fallback: string): string {
    return this.optional(name) ?? fallback;
  }

  /** A whole number within the bounds of its setting; `overrides` replaces the default or a bound. */
  integer(name: SettingName, overrides: Partial<IntegerBounds> = {}): number {
    const { default: fallback, minimum, maximum } = { ...boundsOf(name), ...overrides };
    const value = this.optional(name);
    if (value === undefined) return fallback;
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= minimum && number <= maximum) return number;
    this.problems.push(`${name} must be a whole number from ${minimum} to ${maximum}.`);
    return fallback;
  }

  oneOf<const Choice extends string>(
    name: SettingName,
    choices: readonly Choice[],
    fallback: Choice,
  ): Choice {
    const value = this.optional(name);
    if (value === undefined) return fallback;
    const choice = choices.find((candidate) => candidate === value);
    if (choice !== undefined) return choice;
    this.problems.push(`${name} must be one of ${choices.join(', ')}.`);
    return fallback;
  }

  list(name: SettingName, rule: string, isValid: (item: string) => boolean): string[] {
    const items = (this.optional(name) ?? '')
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
    if (!items.every((item) => isValid(item)))
      this.problems.push(`${name} must be a comma-separated list of ${rule}.`);
    return items;
  }

  /** A variable that must match a rule when it is set. */
  matching(name: SettingName, rule: string, isValid: (value: string) => boolean): string | undefined {
    const value = this.optional(name);
    if (value !== undefined && !isValid(value)) this.problems.push(`${name} must be ${rule}.`);
    return value;
  }
}

function boundsOf(name: SettingName): IntegerBounds {
  const { default: fallback, minimum, maximum } = SETTINGS[name];
  if (typeof fallback !== 'number' || minimum === undefined || maximum === undefined)
    throw new Error(`The setting ${name} is no number with bounds.`);
  return { default: fallback, minimum, maximum };
}
