import { applyDecorators, SetMetadata, type Type, UseGuards } from '@nestjs/common';
import { ApiExtension, ApiOperation } from '@nestjs/swagger';
import { RouteConfig } from '@nestjs/platform-fastify';
import { ExpensiveRequests, type Expense, setExpense } from './expensive-requests.service.js';
import type { ErrorCode } from '../common/error-catalogue.js';
import type { OperationProblem } from './api-document-problems.js';
import type { OperationName } from '../context/request-context.js';

const OPERATION = 'latchkey:operation';

interface OperationOptions {
  /** One line for the API document. */
  readonly summary: string;
  readonly description: string;
  /** The kind of thing it acts on, as audit rows name it. */
  readonly resourceType: string;
  /** Bytes of body accepted. Default: 64 kB. */
  readonly bodyLimit?: number;
  /**
   * The route belongs to the data plane: the caller is known from memory, within the bound of the change feed, and
   * nothing is logged or traced per request.
   */
  readonly isDataPlane?: boolean;
  /** Which requests may cost much, by their query as it was sent: a user may have only some of them under way at once. */
  readonly isExpensive?: Expense;
  /** Fastify calls the handler itself, with `@Req()` alone: for the hottest routes (`direct-routes.ts`). */
  readonly isDirect?: boolean;
  /** The errors it may return beyond those that follow from its credential, its body and its parameters. */
  readonly errors?: readonly ErrorCode[];
  /** Problem documents with members of their own, by status. */
  readonly problems?: Readonly<Record<number, OperationProblem>>;
  /** The body is a form (`application/x-www-form-urlencoded`), as some standards ask, instead of JSON. */
  readonly isForm?: boolean;
}

/** The method of a controller that answers a route. */
export interface RouteHandler {
  readonly controller: Type<object>;
  readonly method: string;
}

/** What `@Operation` leaves in the configuration of its Fastify route. */
export interface OperationSettings {
  readonly bodyLimit?: number | undefined;
  readonly isDataPlane?: boolean | undefined;
  readonly isForm?: boolean | undefined;
  readonly isDirect?: boolean | undefined;
  readonly handler?: RouteHandler | undefined;
}

/** Names a route once: the name is its OpenAPI operationId and the action of its audit rows. */
export function Operation(action: string, options: OperationOptions): MethodDecorator {
  const {
    summary,
    description,
    resourceType,
    bodyLimit,
    isDataPlane = false,
    isDirect,
    isForm,
    isExpensive,
    errors,
    problems,
  } = options;
  const name: OperationName = { action, resourceType, isDataPlane };
  return (target, method, descriptor) => {
    const handler = { controller: target.constructor as Type<object>, method: String(method) };
    const settings: OperationSettings = { bodyLimit, isDataPlane, isForm, isDirect, handler };
    applyDecorators(
      SetMetadata(OPERATION, name),
      ApiOperation({ operationId: action, summary, description }),
      RouteConfig(settings),
      ...(errors === undefined ? [] : [ApiExtension('x-error-codes', errors)]),
      ...(problems === undefined ? [] : [ApiExtension('x-problems', problems)]),
      ...(isExpensive === undefined
        ? []
        : [
            setExpense(isExpensive),
            UseGuards(ExpensiveRequests),
            ApiExtension('x-bounded-per-caller', true),
          ]),
    )(target, method, descriptor);
  };
}

/** The name given by `@Operation`. */
export function operationOf(handler: object): OperationName | undefined {
  return Reflect.getMetadata(OPERATION, handler) as OperationName | undefined;
}
