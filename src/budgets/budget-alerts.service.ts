import { AsyncResource } from 'node:async_hooks';
import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { decimalCentsFromMicroCents, MICRO_CENTS_PER_CENT } from '../common/money.js';
import { Maintenance } from '../jobs/maintenance.service.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';

interface NoticeRow {
  readonly account_id: number;
  readonly api_key_id: number | null;
  readonly project_id: number | null;
  readonly organization_id: number | null;
  readonly period_number: number;
  readonly period_start: Date | null;
  readonly percent: number;
  readonly spent: string;
  readonly limit: string;
}

const PUBLISH_EVERY_SECONDS = 5;
const PUBLISHED_AT_ONCE = 100;
const EXHAUSTED_PERCENT = 100;

/**
 * Publishes the thresholds that charges reached. The ledger writes each down with the charge, once per account, period
 * and threshold; whichever instance locks it first publishes it, in the transaction that marks it.
 */
@Injectable()
export class BudgetAlerts implements OnModuleDestroy {
  readonly #logger = new Logger(BudgetAlerts.name);
  /** An alert belongs to no request, although a request caused the charge. */
  readonly #outside = new AsyncResource('BudgetAlerts');
  #publishing: Promise<void> | undefined;
  #isWanted = false;

  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly events: EventPublisher,
    maintenance: Maintenance,
  ) {
    maintenance.register({
      name: 'publish-budget-alerts',
      purpose: 'publishes budget alerts that were not published at once',
      everySeconds: PUBLISH_EVERY_SECONDS,
      isDestructive: false,
      run: () => this.publishAll(),
    });
    maintenance.register({
      name: 'expire-budget-alerts',
      purpose: 'deletes budget alerts of past periods',
      everySeconds: 3_600,
      isDestructive: true,
      run: async (client) => {
        // Those of the period that runs keep a threshold from being noticed twice.
        await client.query(`
          DELETE FROM budget_notices AS notices USING budget_accounts AS accounts
          WHERE accounts.id = notices.account_id AND accounts.period_number > notices.period_number
            AND notices.published_at < now() - interval '1 day'`);
      },
    });
  }

  /** Publishes without being waited for; what fails is tried again by the job. */
  publishSoon(): void {
    this.#isWanted = true;
    this.#publishing ??= this.#outside
      .runInAsyncScope(() => this.#publishWhileWanted())
      .finally(() => {
        this.#publishing = undefined;
      });
  }

  /** Publishes everything that is not published yet, a few at a time. */
  async publishAll(): Promise<void> {
    while ((await this.publishSome()) === PUBLISHED_AT_ONCE);
  }

  async onModuleDestroy(): Promise<void> {
    await this.#publishing;
  }

  async #publishWhileWanted(): Promise<void> {
    while (this.#isWanted) {
      this.#isWanted = false;
      await this.publishAll().catch((error: unknown) =>
        this.#logger.warn(`Thresholds of budgets could not be published yet: ${String(error)}`),
      );
    }
  }

  @Change()
  protected async publishSome(): Promise<number> {
    const notices = await this.transactions.tx.query<NoticeRow[]>(LOCK_NOTICES, [PUBLISHED_AT_ONCE]);
    for (const notice of notices) await this.#publish(notice);
    if (notices.length > 0) {
      await this.transactions.tx.query(MARK_PUBLISHED, [
        notices.map((notice) => notice.account_id),
        notices.map((notice) => notice.period_number),
        notices.map((notice) => notice.percent),
      ]);
    }
    return notices.length;
  }

  async #publish(notice: NoticeRow): Promise<void> {
    const { period_start, percent, spent, limit } = notice;
    const facts = {
      accountId: notice.account_id,
      apiKeyId: notice.api_key_id,
      projectId: notice.project_id,
      organizationId: notice.organization_id,
      spentCents: decimalCentsFromMicroCents(BigInt(spent)),
      limitCents: Number(BigInt(limit) / MICRO_CENTS_PER_CENT),
      periodStart: period_start?.toISOString() ?? null,
    };
    await this.events.change('budget.threshold_reached', { ...facts, percent });
    if (percent === EXHAUSTED_PERCENT) await this.events.change('budget.exhausted', facts);
  }
}

const LOCK_NOTICES = `
  SELECT notices.account_id, accounts.api_key_id, accounts.project_id,
    coalesce(accounts.organization_id, projects.organization_id, api_keys.organization_id) AS organization_id, notices.period_number, notices.percent,
    CASE WHEN isfinite(notices.period_start) THEN notices.period_start END AS period_start,
    notices.spent_micro_cents::text AS spent, notices.limit_micro_cents::text AS limit
  FROM budget_notices AS notices JOIN budget_accounts AS accounts ON accounts.id = notices.account_id
    LEFT JOIN projects ON projects.id = accounts.project_id LEFT JOIN api_keys ON api_keys.id = accounts.api_key_id
  WHERE notices.published_at IS NULL
  ORDER BY notices.noticed_at, notices.account_id, notices.percent LIMIT $1
  FOR UPDATE OF notices SKIP LOCKED`;

const MARK_PUBLISHED = `
  UPDATE budget_notices AS notices SET published_at = clock_timestamp()
  FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS published (account_id, period_number, percent)
  WHERE notices.account_id = published.account_id AND notices.period_number = published.period_number
    AND notices.percent = published.percent`;
