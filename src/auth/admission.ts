import type { ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Authority } from '../common/authority.js';
import { requirePermission } from './access.policy.js';
import type { Principal } from './principal.js';

/** How long an admission counts, so that authority taken away while a slow body arrives is noticed. */
const ADMITTED_MS = 1_000;

/** Judges callers of the data plane. */
export interface Judge {
  /** How many batches of changes the caches of callers have applied. */
  position(): number;
  nowMs(): number;
  /** @throws AppError when the caller may not call the route any more */
  judge(request: FastifyRequest, context: ExecutionContext): Principal | Promise<Principal>;
}

/** That a request was admitted, for which handler, and when. */
export class Admission implements Authority {
  #alsoNeeded: string | undefined;

  constructor(
    readonly handler: object,
    private readonly request: FastifyRequest,
    private readonly context: ExecutionContext,
    private readonly judge: Judge,
    private atMs: number,
    private position: number,
  ) {}

  /** Whether it still counts for a handler at this time. */
  isFor(handler: object, nowMs: number): boolean {
    return this.handler === handler && Math.abs(nowMs - this.atMs) < ADMITTED_MS;
  }

  /** The change needs this permission as well as what the route asks for. */
  alsoNeeds(permission: string): void {
    this.#alsoNeeded = permission;
  }

  isCurrent(): boolean {
    return this.position === this.judge.position() && this.isFor(this.handler, this.judge.nowMs());
  }

  async judgeAgain(): Promise<void> {
    const [position, nowMs] = [this.judge.position(), this.judge.nowMs()];
    const principal = await this.judge.judge(this.request, this.context);
    if (this.#alsoNeeded !== undefined) requirePermission(principal, this.#alsoNeeded);
    this.position = position;
    this.atMs = nowMs;
  }
}
