import { hash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { Config } from '../config/config.js';
import { ChangeFeed } from '../change-feed/change-feed.service.js';
import type { Evictions } from '../change-feed/evictions.js';
import { FreshCache } from '../change-feed/fresh-cache.js';
import { isWellFormedSecret, lengthOfSecret } from './secret-format.js';
import { BYTES_PER_LIST_ENTRY, type CachedKey, sizeOfLists } from './cached-key.js';
import { CachedKeyLoader } from './cached-key.queries.js';

const UNKNOWN_KEY_TTL_MS = 1_000;
const MOST_UNKNOWN_KEYS = 20_000;
/** Measured with a million entries: object, strings and place in the cache. */
const ENTRY_BYTES = 960;
const BYTES_PER_ANCESTOR = 500;

/**
 * Finds the cached key of a secret: in memory while the change feed is fresh, else in the database, once for all who ask
 * at the same time. In memory a secret is known by its SHA-256 alone; the keyed digest is made only for the database.
 */
@Injectable()
export class CachedKeys {
  readonly #prefixes: readonly string[];
  readonly #lengths: ReadonlySet<number>;
  readonly #known: FreshCache<CachedKey>;
  readonly #unknown = new LRUCache<string, number>({ max: MOST_UNKNOWN_KEYS });
  readonly #loading = new Map<string, Promise<CachedKey | undefined>>();

  constructor(
    config: Config,
    private readonly loader: CachedKeyLoader,
    private readonly feed: ChangeFeed,
  ) {
    this.#prefixes = config.apiKeyPrefixes;
    this.#lengths = new Set(this.#prefixes.map(lengthOfSecret));
    this.#known = new FreshCache(feed, { mostBytes: config.keyCacheBytes, sizeOf }, isCurrent);
  }

  /**
   * The cached key of a live key's secret, at once when it is in memory. Undefined for a malformed or unknown secret,
   * and for one past its grace.
   * @throws AppError `service.unavailable` when neither memory nor the database may answer
   */
  find(secret: string, nowMs: number): CachedKey | undefined | Promise<CachedKey | undefined> {
    // Long texts that are no secret are not digested: that would be expensive.
    if (!this.#lengths.has(secret.length)) return undefined;
    const fingerprint = hash('sha256', secret, 'binary');
    // What is in memory was well formed, and to look there costs less than to check again.
    const cachedKey = this.#known.find(fingerprint);
    if (cachedKey !== undefined) return unlessRetired(cachedKey, nowMs);
    if (!isWellFormedSecret(secret, this.#prefixes)) return undefined;
    this.feed.requireFresh();
    if ((this.#unknown.get(fingerprint) ?? 0) > performance.now()) return undefined;
    return this.#loadOnce(secret, fingerprint).then((loaded) => loaded && unlessRetired(loaded, nowMs));
  }

  /** Like `find`, but always reads the database. */
  async findFresh(secret: string, nowMs: number): Promise<CachedKey | undefined> {
    if (!isWellFormedSecret(secret, this.#prefixes)) return undefined;
    const cachedKey = await this.loader.load(secret);
    return cachedKey && unlessRetired(cachedKey, nowMs);
  }

  #loadOnce(secret: string, fingerprint: string): Promise<CachedKey | undefined> {
    const running = this.#loading.get(fingerprint);
    if (running !== undefined) return running;
    const load = this.#load(secret, fingerprint).finally(() => this.#loading.delete(fingerprint));
    this.#loading.set(fingerprint, load);
    return load;
  }

  async #load(secret: string, fingerprint: string): Promise<CachedKey | undefined> {
    const { position } = this.#known;
    const cachedKey = await this.loader.load(secret);
    if (cachedKey === undefined) this.#unknown.set(fingerprint, performance.now() + UNKNOWN_KEY_TTL_MS);
    else this.#known.keep(fingerprint, cachedKey, position);
    return cachedKey;
  }
}

/** A key is also judged by its ancestors and by where it belongs, so a change of one of them makes it stale. */
function isCurrent(cachedKey: CachedKey, evictions: Evictions, position: number): boolean {
  const { apiKeyId, userId, organizationId, projectId, line } = cachedKey;
  if (!evictions.isCurrent(position, 'user', userId)) return false;
  if (!evictions.isCurrent(position, 'project', projectId)) return false;
  if (!evictions.isCurrent(position, 'organization', organizationId)) return false;
  if (line === undefined) return evictions.isCurrent(position, 'api_key', apiKeyId);
  return line.every((key) => evictions.isCurrent(position, 'api_key', key.apiKeyId));
}

function unlessRetired(cachedKey: CachedKey, nowMs: number): CachedKey | undefined {
  return cachedKey.retiresAtMs > nowMs ? cachedKey : undefined;
}

function sizeOf(cachedKey: CachedKey): number {
  const { tags, permissions, scoped, line } = cachedKey;
  const held = scoped.reduce((sum, scope) => sum + scope.permissions.length, permissions.length);
  let bytes = ENTRY_BYTES + (tags.length + held) * BYTES_PER_LIST_ENTRY;
  for (const key of line ?? [cachedKey]) bytes += sizeOfLists(key);
  return line === undefined ? bytes : bytes + line.length * BYTES_PER_ANCESTOR;
}
