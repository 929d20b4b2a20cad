import { type ArgumentMetadata, Injectable, type PipeTransform, type Type } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validateSync, type ValidationError } from 'class-validator';
import { type FieldError, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { unsafeInput } from './input-checks.js';

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
  constructor(private readonly clock: Clock) {}

  transform(value: unknown, metadata: ArgumentMetadata): unknown {
    const dto = metadata.metatype;
    if (metadata.type === 'custom' || dto === undefined || isBuiltIn(dto)) return value;
    const input = value ?? {};
    if (typeof input !== 'object' || Array.isArray(input)) {
      throw validationFailed([{ field: metadata.type, message: 'must be a JSON object' }]);
    }
    const unsafe = unsafeInput(input);
    const safe = unsafe.length === 0 ? input : withoutUnsafe(input);
    const instance = plainToInstance(dto as Type<object>, safe, { exposeDefaultValues: true });
    const broken = validateSync(instance, {
      whitelist: true,
      forbidNonWhitelisted: true,
      stopAtFirstError: true,
    });
    if (unsafe.length === 0 && broken.length === 0) return instance;
    throw validationFailed([...unsafe, ...this.#otherErrors(input, safe, instance, broken)]);
  }

  /** What is wrong beside unsafe properties, of which nothing more is said. */
  #otherErrors(input: object, safe: object, instance: object, broken: ValidationError[]): FieldError[] {
    const unsafeNames = new Set(Object.keys(input).filter((name) => !Object.hasOwn(safe, name)));
    const own = broken.filter(({ property }) => !unsafeNames.has(property));
    const brokenNames = new Set([...unsafeNames, ...own.map(({ property }) => property)]);
    const further = judgesFields(instance)
      ? instance[FURTHER_ERRORS]((field) => brokenNames.has(field), this.clock.now())
      : [];
    return [...own.flatMap((error) => fieldErrors(error, '')), ...further];
  }
}

function isBuiltIn(type: unknown): boolean {
  return type === Object || type === String || type === Number || type === Boolean || type === Array;
}

function judgesFields(dto: object): dto is JudgesFields {
  return FURTHER_ERRORS in dto;
}

function withoutUnsafe(input: object): object {
  const isSafe = ([name, item]: [string, unknown]) => unsafeInput({ [name]: item }).length === 0;
  return Object.fromEntries(Object.entries(input).filter(isSafe));
}

function fieldErrors(error: ValidationError, parent: string): FieldError[] {
  const field = parent === '' ? error.property : `${parent}.${error.property}`;
  const own = Object.entries(error.constraints ?? {}).map(([name, message]) => ({
    field,
    message: name === 'whitelistValidation' ? 'is not a known property' : message,
  }));
  return [...own, ...(error.children ?? []).flatMap((child) => fieldErrors(child, field))];
}
