import { type ExecutionContext, NotFoundException } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../common/app-error.js';
import { isAddressTooLong } from './address-bounds.js';
import type { OperationSettings, RouteHandler } from '../contract/operation.js';
import type { ProblemFilter } from './problem.filter.js';
import { letBodyCome, passOverBody } from './unread-body.js';

/** Decides whether a request may continue; Nest also calls it before the handler of a route. */
export interface Guard {
  canActivate(context: ExecutionContext): boolean | Promise<boolean>;
  /** Whether it let the request through for this handler a moment ago, so that it need not be asked again. */
  isAdmitted(request: FastifyRequest, handler: object): boolean;
}

/** What runs before and after every handler, however it is called. */
export interface Pipeline {
  readonly guard: Guard;
  readonly filter: ProblemFilter;
}

/**
 * Whether the guard lets a request through whose handler `context` names; false once the filter has answered it.
 * `admitting` is what the guard returned already.
 */
export async function isLetThrough(
  { guard, filter }: Pipeline,
  context: ExecutionContextHost,
  admitting?: boolean | Promise<boolean>,
): Promise<boolean> {
  try {
    if (await (admitting ?? guard.canActivate(context))) return true;
    throw new AppError('permission.denied', 'This is not allowed.');
  } catch (error) {
    await filter.answer(error, context);
    return false;
  }
}

type Done = (error?: Error) => void;
type Handler = () => unknown;

/**
 * Calls the guard before the body of a request is read, so that the service reads and checks only bodies of admitted
 * callers. URLs that are too long or match no route are answered here too. Call it before routes are registered.
 */
export function guardBeforeBodies(server: FastifyInstance, pipeline: Pipeline): void {
  const { filter } = pipeline;
  server.addHook('onRequest', (request, reply, done) => {
    if (isAddressTooLong(request.raw.url)) refuse(new AppError('request.uri_too_long', TOO_LONG));
    else if (request.is404) refuse(new NotFoundException());
    else done();

    function refuse(error: Error): void {
      void filter.answer(error, new ExecutionContextHost([request, reply]));
    }
  });
  server.addHook('onRoute', (route) => {
    const { handler }: OperationSettings = { ...route.config };
    if (handler === undefined) return;
    const earlier = route.onRequest === undefined ? [] : [route.onRequest].flat();
    route.onRequest = [...earlier, hookOf(handler, pipeline)];
  });
}

const TOO_LONG =
  'An address may have 8192 characters and 128 query parameters, and each part of its path 256 characters.';

function hookOf({ controller, method }: RouteHandler, pipeline: Pipeline) {
  const { guard, filter } = pipeline;
  const handler = (controller.prototype as Readonly<Record<string, Handler>>)[method] as Handler;
  /** Synchronous as long as the guard is. */
  return (request: FastifyRequest, reply: FastifyReply, done: Done): void => {
    const context = new ExecutionContextHost([request, reply], controller, handler);
    // Bodies of these methods are never read.
    if (request.method === 'GET' || request.method === 'HEAD') passOverBody(request, reply);
    let admitted: boolean | Promise<boolean>;
    try {
      admitted = guard.canActivate(context);
    } catch (error) {
      void filter.answer(error, context);
      return;
    }
    if (admitted === true) goOn(request, reply, done);
    else void goOnOnceAdmitted(admitted, context, done);
  };

  async function goOnOnceAdmitted(
    admitting: boolean | Promise<boolean>,
    context: ExecutionContextHost,
    done: Done,
  ): Promise<void> {
    const [request, reply] = context.getArgs<[FastifyRequest, FastifyReply]>();
    if (await isLetThrough(pipeline, context, admitting)) goOn(request, reply, done);
  }
}

function goOn(request: FastifyRequest, reply: FastifyReply, done: Done): void {
  letBodyCome(request, reply);
  done();
}
