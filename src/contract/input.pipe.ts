import { type ArgumentMetadata, Injectable, type PipeTransform, type Type } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validateSync } from 'class-validator';
import { type FieldError, MOST_ERRORS, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { Redactor } from '../common/redactor.js';
import { type FieldRules, fieldRulesOf } from './field-rules.js';
import { unsafeInput } from './input-checks.js';
import { secretProblem } from './secret-text.js';

/** The name of a dto's method that checks rules across fields. A symbol, so that no property can be called like it. */
export const CROSS_FIELD_ERRORS = Symbol('latchkey:cross-field-errors');

/**
 * A dto with rules beyond single fields, which the service checks as well. They are checked here only when a field is
 * broken, so that one response names all broken rules; `isBroken` says which fields cannot be relied on.
 */
export interface HasCrossFieldRules {
  [CROSS_FIELD_ERRORS](isBroken: (field: string) => boolean, now: Date): readonly FieldError[];
}

/** Turns a body, a query or path parameters into its checked dto; every broken rule is reported at once (422). */
@Injectable()
export class InputPipe implements PipeTransform {
  constructor(
    private readonly clock: Clock,
    private readonly redactor: Redactor,
  ) {}

  transform(value: unknown, metadata: ArgumentMetadata): unknown {
    const dto = metadata.metatype;
    if (metadata.type === 'custom' || dto === undefined || isBuiltIn(dto)) return value;
    const input = value ?? {};
    if (typeof input !== 'object' || Array.isArray(input)) {
      throw validationFailed([{ field: metadata.type, message: 'must be a JSON object' }]);
    }
    const rules = fieldRulesOf(dto);
    const { safe, problems } = takeSafe(input, rules);
    const instance = plainToInstance(dto as Type<object>, safe, { exposeDefaultValues: true });
    for (const { property, constraints } of validateSync(instance, { stopAtFirstError: true })) {
      if (!problems.has(property))
        problems.set(property, [{ field: property, message: Object.values(constraints ?? {})[0] ?? '' }]);
    }
    // Parameters of a URL are stored in audit rows only, which are masked.
    if (metadata.type === 'body') this.#refuseSecrets(instance, rules, problems);
    const broken = [...rules.keys()].flatMap((name) => problems.get(name) ?? []);
    const unknown = unknownFields(input, rules);
    if (broken.length === 0 && unknown.length === 0) return instance;
    throw validationFailed([...broken, ...this.#crossFieldErrors(instance, broken), ...unknown]);
  }

  #refuseSecrets(instance: object, rules: FieldRules, problems: Problems): void {
    const values = instance as Readonly<Record<string, unknown>>;
    for (const [name, { areSecretsAllowed }] of rules) {
      if (areSecretsAllowed || problems.has(name)) continue;
      const message = secretProblem(values[name], this.redactor);
      if (message !== undefined) problems.set(name, [{ field: name, message }]);
    }
  }

  #crossFieldErrors(instance: object, broken: readonly FieldError[]): readonly FieldError[] {
    if (!hasCrossFieldRules(instance)) return [];
    const names = new Set(broken.map(({ field }) => topOf(field)));
    return instance[CROSS_FIELD_ERRORS]((field) => names.has(field), this.clock.now());
  }
}

/** What is wrong with each field, by its name. */
type Problems = Map<string, readonly FieldError[]>;

/**
 * The fields that class-transformer may see: known names, storable text, and only lists and objects that pass `checkArrived`.
 * This bounds the cost by the dto, not by the caller.
 */
function takeSafe(input: object, rules: FieldRules): { safe: Record<string, unknown>; problems: Problems } {
  const given = input as Readonly<Record<string, unknown>>;
  const safe: Record<string, unknown> = {};
  const problems: Problems = new Map();
  for (const [name, { checkArrived }] of rules) {
    if (!Object.hasOwn(input, name)) continue;
    const value = given[name];
    const unsafe = unsafeInput(value, name);
    const message = unsafe.length === 0 && typeof value === 'object' ? checkArrived(value) : undefined;
    if (message !== undefined) problems.set(name, [{ field: name, message }]);
    else if (unsafe.length > 0) problems.set(name, unsafe);
    else safe[name] = value;
  }
  return { safe, problems };
}

/** Names of unknown fields: one more than are reported is enough to know that there are more. */
function unknownFields(input: object, rules: FieldRules): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of Object.keys(input)) {
    if (!rules.has(name)) errors.push({ field: name, message: 'is not a known property' });
    if (errors.length > MOST_ERRORS) break;
  }
  return errors;
}

/** `tags` for `tags[3]` and `tags.x`. */
function topOf(field: string): string {
  return field.split(/[.[]/, 1)[0] ?? field;
}

function isBuiltIn(type: unknown): boolean {
  return type === Object || type === String || type === Number || type === Boolean || type === Array;
}

function hasCrossFieldRules(dto: object): dto is HasCrossFieldRules {
  return CROSS_FIELD_ERRORS in dto;
}
