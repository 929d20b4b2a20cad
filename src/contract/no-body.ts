import { applyDecorators, type CanActivate, type ExecutionContext, UseGuards } from '@nestjs/common';
import { ApiExtension } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { MOST_ERRORS, validationFailed } from '../common/app-error.js';

/** Stands before a handler that reads no body: what is in one would be ignored, so it is refused (422) instead. */
class NoBodyGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { body } = context.switchToHttp().getRequest<FastifyRequest>();
    if (body === undefined || body === null) return true;
    if (typeof body !== 'object' || Array.isArray(body)) {
      throw validationFailed([{ field: 'body', message: 'must be a JSON object' }]);
    }
    const errors = Object.keys(body)
      .slice(0, MOST_ERRORS + 1)
      .map((field) => ({ field, message: 'is not a known property' }));
    if (errors.length > 0) throw validationFailed(errors);
    return true;
  }
}

/** The operation takes no body: none, or one that says nothing, is accepted. It is checked after access. */
export function NoBody(): MethodDecorator {
  return applyDecorators(UseGuards(new NoBodyGuard()), ApiExtension('x-takes-no-body', true));
}
