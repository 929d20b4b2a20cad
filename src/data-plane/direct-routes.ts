import type { Type } from '@nestjs/common';
import {
  EXCEPTION_FILTERS_METADATA,
  GUARDS_METADATA,
  HEADERS_METADATA,
  HTTP_CODE_METADATA,
  INTERCEPTORS_METADATA,
  PIPES_METADATA,
  ROUTE_ARGS_METADATA,
} from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isLetThrough, type Pipeline } from '../http/early-guard.js';
import type { OperationSettings, RouteHandler } from '../contract/operation.js';

type Handler = (request: FastifyRequest) => unknown;

/** What only Nest's router would heed. */
const ROUTER_METADATA = [
  EXCEPTION_FILTERS_METADATA,
  GUARDS_METADATA,
  HEADERS_METADATA,
  INTERCEPTORS_METADATA,
  PIPES_METADATA,
];
const REQUEST_ALONE = `${RouteParamtypes.REQUEST}:0`;

/**
 * Lets Fastify call handlers that are marked `isDirect` without Nest's router between, whose promises cost more than a
 * verdict does. Guard and filter are those of every other route. Call it before routes are made.
 */
export function callDirectly(app: NestFastifyApplication, pipeline: Pipeline): void {
  const server: FastifyInstance = app.getHttpAdapter().getInstance();
  server.addHook('onRoute', (route) => {
    const { isDirect, handler }: OperationSettings = { ...route.config };
    if (!isDirect || handler === undefined) return;
    const controller: object = app.get(handler.controller, { strict: false });
    const directRoute = new DirectRoute(handler, controller, pipeline);
    route.handler = (request, reply) => directRoute.answer(request, reply);
  });
}

class DirectRoute {
  readonly #class: Type<object>;
  readonly #controller: object;
  readonly #handler: Handler;
  readonly #status: number;
  readonly #pipeline: Pipeline;

  constructor(handler: RouteHandler, controller: object, pipeline: Pipeline) {
    this.#class = handler.controller;
    this.#controller = controller;
    this.#handler = handlerOf(handler);
    this.#status = (Reflect.getMetadata(HTTP_CODE_METADATA, this.#handler) as number | undefined) ?? 201;
    this.#pipeline = pipeline;
  }

  /** Synchronous for a request that was admitted before its body, as long as its handler is. */
  answer(request: FastifyRequest, reply: FastifyReply): void {
    if (this.#pipeline.guard.isAdmitted(request, this.#handler)) this.#send(request, reply);
    else void this.#sendOnceAdmitted(request, reply);
  }

  async #sendOnceAdmitted(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    if (await isLetThrough(this.#pipeline, this.#contextOf(request, reply))) this.#send(request, reply);
  }

  #send(request: FastifyRequest, reply: FastifyReply): void {
    const send = (body: unknown) => void reply.code(this.#status).send(body);
    try {
      const answer = this.#handler.call(this.#controller, request);
      // Not awaited: where async hooks are on, an await makes promises of its own.
      if (answer instanceof Promise)
        answer.then(send).catch((error: unknown) => this.#fail(error, request, reply));
      else send(answer);
    } catch (error) {
      this.#fail(error, request, reply);
    }
  }

  #fail(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
    void this.#pipeline.filter.answer(thrown, this.#contextOf(request, reply));
  }

  #contextOf(request: FastifyRequest, reply: FastifyReply): ExecutionContextHost {
    return new ExecutionContextHost([request, reply], this.#class, this.#handler);
  }
}

/** @throws Error when the handler asks for something that only Nest's router would give it */
function handlerOf({ controller, method }: RouteHandler): Handler {
  const handler = (controller.prototype as Readonly<Record<string, Handler>>)[method] as Handler;
  const parameters = Object.keys(
    (Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, method) ?? {}) as object,
  );
  const unheeded = ROUTER_METADATA.filter(
    (key) => Reflect.hasMetadata(key, handler) || Reflect.hasMetadata(key, controller),
  );
  if (parameters.join() !== REQUEST_ALONE || unheeded.length > 0)
    throw new Error(`${controller.name}.${method} cannot be called directly: it may take @Req() alone.`);
  return handler;
}
