import type { Check } from './input-checks.js';

/** What the input pipe checks of one field of a dto before class-transformer and class-validator see the value. */
export interface FieldRule {
  /** Checks a list or an object before conversion. Only those that pass are converted, which bounds the cost by the dto. */
  readonly checkArrived: Check;
  /** Its text is never stored in clear. Other fields of a body refuse text that holds a secret. */
  readonly areSecretsAllowed: boolean;
}

/** All fields of a dto by their names. */
export type FieldRules = ReadonlyMap<string, FieldRule>;

/** By the prototype that declares them. */
const declared = new WeakMap<object, Map<string, FieldRule>>();
/** By dto, with what it inherits. */
const whole = new WeakMap<object, FieldRules>();

/** Adds a field to the dto with this `prototype`. */
export function noteFieldRule(prototype: object, name: string, rule: FieldRule): void {
  const rules = declared.get(prototype) ?? new Map<string, FieldRule>();
  declared.set(prototype, rules.set(name, rule));
}

/** The fields of a dto, inherited ones first. */
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
