import { createHash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { AppError } from '../common/app-error.js';
import { DELETION_SLACK, Maintenance } from '../jobs/maintenance.service.js';
import type { Actor } from '../context/request-context.js';

/** A caller's wish that a request which may be sent again takes effect once. */
export interface IdempotencyClaim {
  /** A user's keys and sessions name their requests together, but what one asked for is never answered to another. */
  readonly caller: Actor;
  readonly operation: string;
  /** The `Idempotency-Key` of the request. */
  readonly key: string;
  /** Whatever makes the request what it is; the same key with another one is refused. */
  readonly request: object;
}

/**
 * Remembers for a day which key a request with an `Idempotency-Key` touched. The record is written by the
 * transaction that does the work, so a crash leaves neither; an advisory lock tells a repeat that comes while the
 * first still runs. What was answered is not kept: it held a secret.
 */
@Injectable()
export class Idempotency {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    maintenance: Maintenance,
  ) {
    maintenance.register({
      name: 'expire-idempotency-keys',
      purpose: 'deletes records of `Idempotency-Key` that are older than a day',
      everySeconds: 3_600,
      isDestructive: true,
      run: async (client) => {
        await client.query(
          `DELETE FROM idempotency_keys WHERE created_at < now() - interval '1 day' - ${DELETION_SLACK}`,
        );
      },
    });
  }

  /**
   * The id of the key an earlier request of this claim touched; undefined when this is the first.
   * @throws AppError `idempotency.in_progress`, `idempotency.key_reused`
   */
  async earlier(claim: IdempotencyClaim): Promise<number | undefined> {
    const { caller, operation, key } = claim;
    const { userId } = caller;
    const [lock] = await this.transactions.tx.query<{ locked: boolean }[]>(
      'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS locked',
      [`latchkey:idempotency:${userId}:${operation}:${key}`],
    );
    if (lock?.locked !== true) {
      const detail = 'The first request with this Idempotency-Key is still running.';
      throw new AppError('idempotency.in_progress', detail, { retryAfterSeconds: 1 });
    }
    const [record] = await this.transactions.tx.query<{ api_key_id: number; request_digest: Buffer }[]>(
      `SELECT api_key_id, request_digest FROM idempotency_keys
       WHERE user_id = $1 AND operation = $2 AND key = $3 AND created_at >= now() - interval '1 day'`,
      [userId, operation, key],
    );
    if (record !== undefined && !record.request_digest.equals(digestOf(claim))) {
      throw new AppError(
        'idempotency.key_reused',
        'This Idempotency-Key was used with a different request.',
        {
          errors: [{ field: 'Idempotency-Key', message: 'was used with a different request' }],
        },
      );
    }
    return record?.api_key_id;
  }

  /** Records, in the transaction of the work itself, which key it touched. */
  async remember(claim: IdempotencyClaim, apiKeyId: number): Promise<void> {
    const { caller, operation, key } = claim;
    await this.transactions.tx.query(
      `INSERT INTO idempotency_keys (user_id, operation, key, request_digest, api_key_id) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (user_id, operation, key) DO UPDATE
         SET request_digest = excluded.request_digest, api_key_id = excluded.api_key_id, created_at = now()`,
      [caller.userId, operation, key, digestOf(claim), apiKeyId],
    );
  }
}

/** Of a key's request as what it is: a person who asks for the same gets another key, which is nobody's child. */
function digestOf({ caller, request }: IdempotencyClaim): Buffer {
  const asked = { ...request, callerKeyId: caller.apiKeyId ?? undefined };
  return createHash('sha256').update(JSON.stringify(asked)).digest();
}
