import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { AppError, validationFailed } from '../common/app-error.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { runPrepared } from '../database/prepared-statement.js';
import type { KeyBounds } from '../auth/key-bounds.js';
import type { Principal } from '../auth/principal.js';
import { type ApiKeyChanges, type ApiKeyPolicy, type ApiKeyCore, BLANK_POLICY } from './api-key.js';
import { FIELD_NAMES, type FieldName, wireNameOf } from './api-key.fields.js';
import { type LineKey, type LineRow, LOCK_LINE, READ_LINE, toLineKey } from './api-key-line.js';
import { END_CHOSEN, type EndedApiKey } from './api-keys.queries.js';
import {
  excessOfStranger,
  kinshipOf,
  loosenedFields,
  MOST_ANCESTORS,
  statedExcess,
} from './lineage.policy.js';

const END_DESCENDANTS = {
  name: 'end_api_key_descendants',
  text: `
    WITH RECURSIVE descendants AS (
      SELECT id FROM api_keys WHERE parent_key_id = $1
      UNION ALL
      SELECT children.id FROM descendants JOIN api_keys AS children ON children.parent_key_id = descendants.id
    ), chosen AS MATERIALIZED (
      SELECT id FROM api_keys WHERE id IN (SELECT id FROM descendants) AND deleted_at IS NULL
      ORDER BY id LIMIT $3 FOR NO KEY UPDATE
    ), ${END_CHOSEN}`,
};

/** Few enough that a batch blocks neither its connection nor this process for long. */
const ENDED_TOGETHER = 2_000;

/** A key with its ancestors and descendants. Every method is part of the caller's transaction. */
@Injectable()
export class ApiKeyLineage implements KeyBounds {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly events: EventPublisher,
  ) {}

  /**
   * The key that the caller authenticated with, and its ancestors, itself first; none for a person. They are locked until
   * the transaction ends: what is created now is their child.
   * @throws AppError `auth.credential_invalid` when one of them has ended, `api_key.too_many_ancestors`,
   * `permission.denied` for a secret in its grace period
   */
  async lockParents({ credential }: Principal, now: Date): Promise<readonly LineKey[]> {
    if (credential.kind !== 'api_key') return [];
    requireNotRetiring(credential);
    const rows = await runPrepared<LineRow>(this.transactions.tx, LOCK_LINE, [credential.apiKeyId, now]);
    if (rows.length === 0 || rows.some((row) => !row.is_alive))
      throw new AppError('auth.credential_invalid', 'The API key is not valid.');
    if (rows.length > MOST_ANCESTORS) {
      throw new AppError(
        'api_key.too_many_ancestors',
        `An API key has at most ${MOST_ANCESTORS} ancestors; this one may create no further key.`,
      );
    }
    return rows.map(toLineKey).toReversed();
  }

  /**
   * A key may not loosen itself or an ancestor, nor give an unrelated key more than it has itself. A person may do
   * all that their permissions allow.
   * @throws AppError `permission.denied` naming the fields
   */
  async requireMayChange({ credential }: Principal, before: ApiKeyCore, after: ApiKeyPolicy): Promise<void> {
    if (credential.kind !== 'api_key') return;
    const loosened = loosenedFields(before, after);
    if (loosened.length > 0) await this.#requireMayGive(credential.apiKeyId, before.id, after, loosened);
  }

  /**
   * A new secret may be issued by a person, or by a key for itself, for its descendants, and for an unrelated key that
   * has no more than it has.
   * @throws AppError `permission.denied`
   */
  async requireMayIssue({ credential }: Principal, apiKey: ApiKeyCore): Promise<void> {
    if (credential.kind !== 'api_key') return;
    requireNotRetiring(credential);
    if (credential.apiKeyId === apiKey.id) return;
    await this.#requireMayGive(credential.apiKeyId, apiKey.id, apiKey, []);
  }

  /** @throws AppError `permission.denied` for a key with a restriction in its line, and for a secret in its grace period */
  async requireUnbound({ credential }: Principal): Promise<void> {
    if (credential.kind !== 'api_key') return;
    requireNotRetiring(credential);
    // Of the caller's transaction, where there is one.
    const line = await this.transactions.withTransaction(() => this.#line(credential.apiKeyId));
    const exceeded = excessOfStranger(BLANK_POLICY, line);
    if (exceeded.length > 0) throw denied('An API key cannot make a user more than it is itself', exceeded);
  }

  /**
   * What a key takes back must not be what its own limited budget, or one that it shares, was charged with or holds.
   * @throws AppError `permission.denied`
   */
  async requireMayTakeBack({ credential }: Principal, apiKeyId: number): Promise<void> {
    if (credential.kind !== 'api_key') return;
    // Of the caller's transaction, where there is one.
    const [callers, charged] = await this.transactions.withTransaction(async () => [
      await this.#line(credential.apiKeyId),
      (await this.#line(apiKeyId)).map(idOf),
    ]);
    if (callers.some(({ id, isUnlimited }) => !isUnlimited && charged.includes(id)))
      throw denied('An API key cannot take back what counts in its own budget', []);
  }

  /**
   * A key that has expired, or comes from one that has, stays invalid until that expiry is moved: activating it or issuing
   * a secret would mislead.
   * @throws AppError `api_key.expired`
   */
  async requireUnexpired(apiKey: ApiKeyCore, now: Date): Promise<void> {
    const line = apiKey.parentKeyId === null ? [apiKey] : await this.#line(apiKey.id);
    const expired = line.findLast(({ expiresAt }) => expiresAt !== null && expiresAt <= now);
    if (expired === undefined || expired.expiresAt === null) return;
    const expiry = `expired at ${expired.expiresAt.toISOString()}; set another expires_at`;
    const detail =
      expired.id === apiKey.id
        ? `The API key ${expiry} first.`
        : `The API key comes from API key ${expired.id}, which ${expiry} there first.`;
    throw new AppError('api_key.expired', detail);
  }

  /** @throws AppError `validation.failed` where what a new key states exceeds a key that it comes from */
  requireWithin(parents: readonly LineKey[], policy: ApiKeyPolicy, stated: ApiKeyChanges): void {
    requireNone(
      statedExcess(
        policy,
        FIELD_NAMES.filter((field) => stated[field] !== undefined),
        parents,
      ),
    );
  }

  /** @throws AppError `validation.failed` where what was changed exceeds a key that this one comes from */
  async requireWithinParents(
    { id, parentKeyId }: ApiKeyCore,
    policy: ApiKeyPolicy,
    changed: readonly FieldName[],
  ): Promise<void> {
    if (parentKeyId === null || changed.length === 0) return;
    const [, ...ancestors] = await this.#line(id);
    requireNone(statedExcess(policy, changed, ancestors));
  }

  /** Deletes all descendants of a locked key, a batch to a statement. */
  @Change()
  async endDescendants(apiKeyId: number, endedAt: Date): Promise<void> {
    for (;;) {
      const ended = await runPrepared<EndedApiKey>(this.transactions.tx, END_DESCENDANTS, [
        apiKeyId,
        endedAt,
        ENDED_TOGETHER,
      ]);
      if (ended.length === 0) return;
      const [apiKeyIds, names] = [ended.map(idOf), ended.map(({ name }) => name)];
      await this.events.change('api_keys.deleted', { apiKeyIds, names, reason: 'parent_deleted' });
      if (ended.length < ENDED_TOGETHER) return;
    }
  }

  async #requireMayGive(
    callerId: number,
    targetId: number,
    policy: ApiKeyPolicy,
    loosened: readonly FieldName[],
  ): Promise<void> {
    const [callers, targets] = [await this.#line(callerId), await this.#line(targetId)];
    switch (kinshipOf(callers.map(idOf), targets.map(idOf))) {
      case 'descendant':
        return;
      case 'family':
        throw denied('An API key cannot loosen or regenerate the keys of its own origin', loosened);
      case 'stranger': {
        const exceeded = excessOfStranger(policy, callers);
        if (exceeded.length > 0)
          throw denied('An API key cannot make another key more than it is itself', exceeded);
      }
    }
  }

  async #line(apiKeyId: number): Promise<LineKey[]> {
    const rows = await runPrepared<LineRow>(this.transactions.tx, READ_LINE, [apiKeyId, new Date(0)]);
    return rows.map(toLineKey).toReversed();
  }
}

/** A secret in its grace period ends soon; with it nobody may obtain another that does not. */
function requireNotRetiring({ isRetiring }: Extract<Principal['credential'], { kind: 'api_key' }>): void {
  if (isRetiring) throw denied('A secret in its grace period cannot give anyone another secret', []);
}

function requireNone(errors: ReturnType<typeof statedExcess>): void {
  if (errors.length > 0) throw validationFailed(errors);
}

function denied(sentence: string, fields: readonly FieldName[]): AppError {
  const names = fields.map(wireNameOf).join(', ');
  return new AppError('permission.denied', names === '' ? `${sentence}.` : `${sentence}: ${names}.`);
}

function idOf({ id }: { readonly id: number }): number {
  return id;
}
