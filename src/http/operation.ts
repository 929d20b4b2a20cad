import { applyDecorators, SetMetadata } from '@nestjs/common';
import { ApiOperation } from '@nestjs/swagger';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { OperationName } from './request-context.js';

const OPERATION = 'latchkey:operation';

interface OperationOptions {
  /** One line for the API document. */
  readonly summary: string;
  readonly description: string;
  /** The kind of thing it acts on, as audit rows name it. */
  readonly resourceType: string;
  /** Bytes of body accepted; 64 kB unless told. */
  readonly bodyLimit?: number;
}

/** Names a route once: the name is its OpenAPI operationId and the action of its audit rows. */
export function Operation(action: string, options: OperationOptions): MethodDecorator {
  const { summary, description, resourceType, bodyLimit } = options;
  const name: OperationName = { action, resourceType };
  return applyDecorators(
    SetMetadata(OPERATION, name),
    ApiOperation({ operationId: action, summary, description }),
    ...(bodyLimit === undefined ? [] : [RouteConfig({ bodyLimit })]),
  );
}

/** The name given by `@Operation`. */
export function operationOf(handler: object): OperationName | undefined {
  return Reflect.getMetadata(OPERATION, handler) as OperationName | undefined;
}
