import type { ExecutionContext } from '@nestjs/common';
import type { Authority } from '../common/authority.js';
import type { Principal } from './principal.js';
import { requireReachStill } from './reach.js';
import { requireAnywhere } from './scope.policy.js';

/** How long an admission counts, so that authority taken away while a slow body arrives is noticed. */
const ADMITTED_MS = 1_000;

/** Judges callers of the data plane. */
export interface Judge {
  /** How many batches of changes the caches of callers have applied. */
  position(): number;
  nowMs(): number;
  /** @throws AppError when the caller may not call the route any more */
  judge(context: ExecutionContext): Principal | Promise<Principal>;
}

/** That a request was admitted, for which handler, and when. */
export class Admission implements Authority {
  /** @param context of the request; its handler is the one that the admission is for */
  constructor(
    private readonly context: ExecutionContext,
    private readonly judge: Judge,
    private atMs: number,
    private position: number,
  ) {}

  /** Whether it still counts for a handler at this time. */
  isFor(handler: object, nowMs: number): boolean {
    return this.context.getHandler() === handler && this.#isRecent(nowMs);
  }

  /**
   * The same authority for a change that needs this permission as well as what the route asks for, wherever the admitted
   * principal held it.
   */
  alsoNeeding(permission: string, admitted: Principal): Authority {
    const judge: Judge = {
      ...this.judge,
      judge: async (context) => {
        const principal = await this.judge.judge(context);
        requireAnywhere(principal, permission);
        requireReachStill(admitted, principal, permission);
        return principal;
      },
    };
    return new Admission(this.context, judge, this.atMs, this.position);
  }

  isCurrent(): boolean {
    return this.position === this.judge.position() && this.#isRecent(this.judge.nowMs());
  }

  async judgeAgain(): Promise<void> {
    const [position, nowMs] = [this.judge.position(), this.judge.nowMs()];
    await this.judge.judge(this.context);
    this.position = position;
    this.atMs = nowMs;
  }

  #isRecent(nowMs: number): boolean {
    return Math.abs(nowMs - this.atMs) < ADMITTED_MS;
  }
}
