import { type CanActivate, type ExecutionContext, Injectable, SetMetadata } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../common/app-error.js';
import type { Actor } from '../context/request-context.js';

/** Whether a request may cost much, by its query as it was sent. */
export type Expense = (query: Readonly<Record<string, unknown>>) => boolean;

const EXPENSE = 'latchkey:expense';

/** Expensive requests that one user may have in progress, streams included. */
export const EXPENSIVE_REQUESTS_AT_ONCE = 16;

/** A request whose caller the access guard has recorded. */
interface AdmittedRequest extends FastifyRequest {
  readonly actor?: Actor;
}

/** Declares which requests of a route are expensive. */
export function setExpense(isExpensive: Expense): MethodDecorator {
  return SetMetadata(EXPENSE, isExpensive);
}

/** How many expensive requests each user has in progress. One for the application: Nest creates a guard per module. */
@Injectable()
export class ExpensiveRequestCounts {
  readonly #counts = new Map<number, number>();

  /** False when the user already has as many as allowed. */
  begin(userId: number): boolean {
    const count = this.#counts.get(userId) ?? 0;
    if (count >= EXPENSIVE_REQUESTS_AT_ONCE) return false;
    this.#counts.set(userId, count + 1);
    return true;
  }

  end(userId: number): void {
    const count = this.#counts.get(userId) ?? 0;
    if (count > 1) this.#counts.set(userId, count - 1);
    else this.#counts.delete(userId);
  }
}

/**
 * Refuses an expensive request of a user who has many in progress: they would wait for each other, and each holds memory.
 * Guards the routes whose `@Operation` says which requests are expensive, after the access guard.
 */
@Injectable()
export class ExpensiveRequests implements CanActivate {
  constructor(private readonly counts: ExpensiveRequestCounts) {}

  canActivate(context: ExecutionContext): boolean {
    const http = context.switchToHttp();
    const { actor, query } = http.getRequest<AdmittedRequest>();
    const isExpensive = Reflect.getMetadata(EXPENSE, context.getHandler()) as Expense;
    if (actor === undefined || !isExpensive(query as Parameters<Expense>[0])) return true;
    const { userId } = actor;
    if (!this.counts.begin(userId)) {
      throw new AppError(
        'request.too_many_at_once',
        `A user may have ${EXPENSIVE_REQUESTS_AT_ONCE} requests of this kind under way at once.`,
        { retryAfterSeconds: 1 },
      );
    }
    // Also when the client leaves.
    http.getResponse<FastifyReply>().raw.once('close', () => this.counts.end(userId));
    return true;
  }
}
