import { Injectable, type OnModuleInit } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { ChangeFeed } from '../database/change-feed.js';
import { isChange, runChangesOf } from './change.decorator.js';
import { isInChange, runInChange } from './change-scope.js';

/** Runs the methods that are marked with `@Change()`. */
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

  async #run<Args extends unknown[], Result>(
    args: Args,
    work: (args: Args) => Promise<Result>,
  ): Promise<Result> {
    if (isInChange()) return work(args);
    const result = await runInChange(() => this.transactions.withTransaction(() => work(args)));
    await this.feed.readNow();
    return result;
  }
}

function hasChanges(instance: unknown, scanner: MetadataScanner): instance is object {
  if (typeof instance !== 'object' || instance === null) return false;
  const prototype = Object.getPrototypeOf(instance) as Record<string, unknown> | null;
  return scanner.getAllMethodNames(prototype).some((name) => isChange(prototype?.[name]));
}
