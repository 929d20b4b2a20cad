import { type ArgumentMetadata, Injectable, type PipeTransform, type Type } from '@nestjs/common';
import { type FieldError, MOST_ERRORS, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { Redactor } from '../common/redactor.js';
import { type FieldRules, fieldRulesOf } from './field-rules.js';
import { unsafeInput } from './input-checks.js';
import { secretProblem } from './secret-text.js';

/** The name of a dto's method that judges rules across fields. A symbol, so that no property can be called like it. */
export const FURTHER_ERRORS = Symbol('latchkey:further-errors');

/**
 * A dto of which more is known than each field alone: rules that the service judges as well. They are asked for only
 * when a field is broken, so that one answer names them all; `isBroken` tells which fields cannot be relied on.
 */
export interface JudgesFields {
  [FURTHER_ERRORS](isBroken: (field: string) => boolean, now: Date): readonly FieldError[];
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
    const instance = new (dto as Type<object>)();
    // What an address says is stored in audit rows alone, which are masked.
    const broken = fill(instance, input, rules, metadata.type === 'body' ? this.redactor : undefined);
    const unknown = unknownFields(input, rules);
    if (broken.length === 0 && unknown.length === 0) return instance;
    throw validationFailed([...broken, ...this.#furtherErrors(instance, broken), ...unknown]);
  }

  #furtherErrors(instance: object, broken: readonly FieldError[]): readonly FieldError[] {
    if (!judgesFields(instance)) return [];
    const names = new Set(broken.map(({ field }) => topOf(field)));
    return instance[FURTHER_ERRORS]((field) => names.has(field), this.clock.now());
  }
}

/** Takes over what the fields of a dto are given, and tells which rules that breaks. Fields that are not given keep their defaults. */
function fill(
  instance: object,
  input: object,
  rules: FieldRules,
  redactor: Redactor | undefined,
): FieldError[] {
  const given = input as Readonly<Record<string, unknown>>;
  const target = instance as Record<string, unknown>;
  const errors: FieldError[] = [];
  for (const [name, { check, convert, areSecretsAllowed }] of rules) {
    const value = Object.hasOwn(input, name) ? given[name] : undefined;
    const unsafe = unsafeInput(value, name);
    errors.push(...unsafe);
    if (unsafe.length > 0) continue;
    if (value !== undefined) target[name] = convert === undefined ? value : convert(value);
    const isSearched = redactor !== undefined && !areSecretsAllowed;
    const message = check(target[name]) ?? (isSearched ? secretProblem(target[name], redactor) : undefined);
    if (message !== undefined) errors.push({ field: name, message });
  }
  return errors;
}

/** Names that no field has: one more than are reported is enough to know that there are more. */
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

function judgesFields(dto: object): dto is JudgesFields {
  return FURTHER_ERRORS in dto;
}
