import type { Check } from './input-checks.js';

/** What the input pipe knows of one field of a dto before class-transformer and class-validator see the value. */
export interface FieldRule {
  /** Judges a list or an object as it arrived, so that none that is too long is transformed. */
  readonly check: Check;
  /** The field turns what arrives into something else: its value as it arrived may break `check`. */
  readonly isConverted: boolean;
  /** What it says is never stored in clear. Other fields of a body refuse text that holds a secret. */
  readonly areSecretsAllowed: boolean;
}

/** The fields of a dto by their names; there are no others. */
export type FieldRules = ReadonlyMap<string, FieldRule>;

/** By the prototype that declares them. */
const declared = new WeakMap<object, Map<string, FieldRule>>();
/** By dto, with what it inherits. */
const whole = new WeakMap<object, FieldRules>();

/** Adds a field to the dto of which `prototype` is. */
export function noteFieldRule(prototype: object, name: string, rule: FieldRule): void {
  const rules = declared.get(prototype) ?? new Map<string, FieldRule>();
  declared.set(prototype, rules.set(name, rule));
}

/** The fields of a dto, those that it inherits first. */
export function fieldRulesOf(dto: { readonly prototype: object }): FieldRules {
  let rules = whole.get(dto);
  if (rules === undefined) {
    rules = collect(dto.prototype);
    whole.set(dto, rules);
  }
  return rules;
}

function collect(prototype: object): Map<string, FieldRule> {
  const parent: object | null = Object.getPrototypeOf(prototype) as object | null;
  const inherited = parent === null ? [] : collect(parent);
  return new Map([...inherited, ...(declared.get(prototype) ?? [])]);
}
