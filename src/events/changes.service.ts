import { isDeepStrictEqual } from 'node:util';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { AppError } from '../common/app-error.js';
import { ChangeFeed } from '../change-feed/change-feed.service.js';
import { runPrepared } from '../database/prepared-statement.js';
import { type Caller, currentRequestContext } from '../context/request-context.js';
import { authorityLocks, LOCK_AUTHORITIES } from './authority-locks.js';
import { isChange, runChangesOf } from './change.decorator.js';
import { type ChangeScope, currentChange, runInChange } from './change-scope.js';

/** When a caller's authority changes more often than this during one request, the client has to retry. */
const MOST_ATTEMPTS = 5;

/**
 * Runs the methods that are marked with `@Change()`.
 *
 * The caller's authority was read before the change began, and may have been taken away while it waited for bcrypt, a
 * connection or a row. So the last step before the commit locks that authority and judges the caller once more, as the
 * guard did. When the authority is now different, the transaction is rolled back and run again with the new one;
 * when it is gone, the caller is refused. A change that takes authority away holds the same lock as it commits.
 * A holder of such a lock waits for nothing but the commit, so there is no deadlock.
 */
@Injectable()
export class Changes implements OnModuleInit {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly feed: ChangeFeed,
  ) {}

  onModuleInit(): void {
    for (const { instance } of this.discovery.getProviders()) {
      if (hasChanges(instance, this.scanner)) {
        runChangesOf(instance, (args, work) => this.#run(args, work));
      }
    }
  }

  #run<Args extends unknown[], Result>(args: Args, work: (args: Args) => Promise<Result>): Promise<Result> {
    if (currentChange() !== undefined) return work(args);
    const caller = currentRequestContext()?.caller;
    if (caller === undefined) return this.#commit(() => work(args));
    return this.#runFor(caller, (principal) => work(withPrincipal(args, caller.principal, principal)));
  }

  async #runFor<Result>(caller: Caller, work: (principal: object) => Promise<Result>): Promise<Result> {
    let { principal } = caller;
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
      const decidedBy = principal;
      try {
        return await this.#commit(
          () => work(decidedBy),
          async () => {
            const judged = await caller.judgeAgain();
            if (!isDeepStrictEqual(judged, decidedBy)) throw new AuthorityChanged(judged);
          },
        );
      } catch (error) {
        principal = await judgedSince(error, caller);
        if (isDeepStrictEqual(principal, decidedBy)) throw error;
      }
    }
    throw new AppError(
      'service.overloaded',
      'Your permissions changed several times during this request; send it again.',
      {
        retryAfterSeconds: 1,
      },
    );
  }

  /** One transaction. `confirm` runs last in it, under the locks, and may still make it fail. */
  async #commit<Result>(work: () => Promise<Result>, confirm?: () => Promise<void>): Promise<Result> {
    const { result, scope } = await runInChange((own) =>
      this.transactions.withTransaction(async () => {
        const done = await work();
        await this.#lockAuthorities(own);
        await confirm?.();
        return { result: done, scope: own };
      }),
    );
    await this.feed.catchUp([...scope.changed.values()]);
    return result;
  }

  async #lockAuthorities({ changed }: ChangeScope): Promise<void> {
    const { actor, caller } = currentRequestContext() ?? {};
    const { names, areExclusive } = authorityLocks(actor, caller?.restsOn ?? [], changed.keys());
    if (names.length > 0) await runPrepared(this.transactions.tx, LOCK_AUTHORITIES, [names, areExclusive]);
  }
}

/** The caller is still authenticated, but their principal differs from the one that the change was decided by. */
class AuthorityChanged extends Error {
  constructor(readonly principal: object) {
    super('What the caller may do has changed.');
  }
}

/** The current principal. A caller who has lost their authority gets that error, not the one of the change. */
async function judgedSince(error: unknown, caller: Caller): Promise<object> {
  if (error instanceof AuthorityChanged) return error.principal;
  if (error instanceof AppError && error.status < 500) return caller.judgeAgain();
  throw error;
}

function withPrincipal<Args extends unknown[]>(args: Args, known: object, current: object): Args {
  return args.map((argument) => (argument === known ? current : argument)) as Args;
}

function hasChanges(instance: unknown, scanner: MetadataScanner): instance is object {
  if (typeof instance !== 'object' || instance === null) return false;
  const prototype = Object.getPrototypeOf(instance) as Record<string, unknown> | null;
  return scanner.getAllMethodNames(prototype).some((name) => isChange(prototype?.[name]));
}
