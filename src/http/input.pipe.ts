import { type ArgumentMetadata, Injectable, type PipeTransform, type Type } from '@nestjs/common';
import { plainToInstance } from 'class-transformer';
import { validateSync, type ValidationError } from 'class-validator';
import { type FieldError, validationFailed } from '../common/app-error.js';
import { unsafeInput } from './input-checks.js';

/** Turns a body, a query or path parameters into its checked dto; every broken rule is reported at once (422). */
@Injectable()
export class InputPipe implements PipeTransform {
  transform(value: unknown, metadata: ArgumentMetadata): unknown {
    const dto = metadata.metatype;
    if (metadata.type === 'custom' || dto === undefined || isBuiltIn(dto)) return value;
    const input = value ?? {};
    if (typeof input !== 'object' || Array.isArray(input)) {
      throw validationFailed([{ field: metadata.type, message: 'must be a JSON object' }]);
    }
    const unsafe = unsafeInput(input);
    if (unsafe.length > 0) throw validationFailed(unsafe);
    const instance = plainToInstance(dto as Type<object>, input, { exposeDefaultValues: true });
    const errors = validateSync(instance, {
      whitelist: true,
      forbidNonWhitelisted: true,
      stopAtFirstError: true,
    });
    if (errors.length > 0) throw validationFailed(errors.flatMap((error) => fieldErrors(error, '')));
    return instance;
  }
}

function isBuiltIn(type: unknown): boolean {
  return type === Object || type === String || type === Number || type === Boolean || type === Array;
}

function fieldErrors(error: ValidationError, parent: string): FieldError[] {
  const field = parent === '' ? error.property : `${parent}.${error.property}`;
  const own = Object.entries(error.constraints ?? {}).map(([name, message]) => ({
    field,
    message: name === 'whitelistValidation' ? 'is not a known property' : message,
  }));
  return [...own, ...(error.children ?? []).flatMap((child) => fieldErrors(child, field))];
}
