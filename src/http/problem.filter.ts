import { type ArgumentsHost, Catch, type ExceptionFilter, Inject, Injectable, Logger } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../common/app-error.js';
import { Redactor } from '../common/redactor.js';
import { pathOf, problemDocument, PROBLEM_MEDIA_TYPE, toAppError } from '../contract/problem.js';
import type { OperationSettings } from '../contract/operation.js';
import {
  type Actor,
  type OperationName,
  type RequestContext,
  requestContextOf,
} from '../context/request-context.js';
import { RequestContextFactory } from './request-context-factory.service.js';
import { RouteTable } from '../contract/route-table.service.js';
import { passOverBody } from './unread-body.js';

/** Called with each error before it is answered; the answer waits for it. Refusals are audited through it. */
export abstract class ErrorObserver {
  abstract observe(error: AppError): Promise<void>;
}

type ProblemListener = (error: AppError, request: FastifyRequest, context: RequestContext) => void;

/** Responds to every error, wherever it was thrown, with `application/problem+json`. */
@Injectable()
@Catch()
export class ProblemFilter implements ExceptionFilter {
  readonly #logger = new Logger(ProblemFilter.name);
  #onDataPlaneProblem: ProblemListener = () => undefined;

  constructor(
    private readonly routes: RouteTable,
    private readonly redactor: Redactor,
    private readonly contexts: RequestContextFactory,
    @Inject(ErrorObserver) private readonly observer: ErrorObserver,
  ) {}

  /** Sets the listener that is called with each problem that a route of the data plane responds with. */
  onDataPlaneProblem(listener: ProblemListener): void {
    this.#onDataPlaneProblem = listener;
  }

  catch(thrown: unknown, host: ArgumentsHost): Promise<void> {
    return this.answer(thrown, host);
  }

  async answer(thrown: unknown, host: ArgumentsHost): Promise<void> {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    let error = this.#withAllowedMethods(toAppError(thrown), request);
    try {
      const seen = error;
      await this.contexts.inContextOf(request, contextFrom(request), () => this.observer.observe(seen));
    } catch (failure) {
      error = toAppError(failure);
    }
    this.#note(error, request);
    if (isLoggedHere(error, request)) this.#log(error, request);
    if (reply.sent) return;
    passOverBody(request, reply);
    const path = this.redactor.maskText(pathOf(request.url));
    const body = this.redactor.maskJson(problemDocument(error, path, request.id));
    void reply
      .code(error.status)
      .headers(error.headers)
      .headers(
        error.retryAfterSeconds === undefined ? {} : { 'retry-after': String(error.retryAfterSeconds) },
      )
      .headers(error.status === 401 ? { 'www-authenticate': 'Bearer' } : {})
      .header('x-request-id', request.id)
      .header('cache-control', 'no-store')
      .type(PROBLEM_MEDIA_TYPE)
      .send(JSON.stringify(body));
  }

  /** The log line of a request names the code of the problem. */
  #note(error: AppError, request: FastifyRequest): void {
    const context = requestContextOf(request.raw);
    if (context === undefined) return;
    context.problemCode = error.code;
    const settings = request.routeOptions.config as OperationSettings;
    if (settings.isDataPlane === true) this.#onDataPlaneProblem(error, request, context);
  }

  /** A known path asked with another method is 405 and says which methods it has. */
  #withAllowedMethods(error: AppError, request: FastifyRequest): AppError {
    if (error.code !== 'request.route_not_found') return error;
    const methods = this.routes.methodsOf(pathOf(request.url));
    // The route has this method: it was its handler that found nothing.
    if (methods.length === 0 || methods.includes(request.method)) return error;
    const allow = methods.join(', ');
    return new AppError('request.method_not_allowed', `This route answers ${allow}.`, { headers: { allow } });
  }

  #log(error: AppError, request: FastifyRequest): void {
    const cause = error.cause instanceof Error ? error.cause : error;
    const summary = `${request.method} ${pathOf(request.url)}: ${error.code}: ${cause.message}`;
    if (error.status === 500) this.#logger.error(summary, cause.stack);
    else this.#logger.warn(summary);
  }
}

/** Not what clients did wrong. `logRefusals` writes the line of other failures of the data plane, with the cause. */
function isLoggedHere({ status }: AppError, request: FastifyRequest): boolean {
  const { isDataPlane } = request.routeOptions.config as OperationSettings;
  return status === 500 || (status > 500 && isDataPlane !== true);
}

/** What a guard noted on the request itself. */
interface NotedRequest extends FastifyRequest {
  readonly operation?: OperationName;
  readonly actor?: Actor;
}

function contextFrom({ operation, actor }: NotedRequest): Partial<RequestContext> {
  return { ...(operation && { operation }), ...(actor && { actor }) };
}
