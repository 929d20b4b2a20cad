import type { TestDatabase } from '../support/database.js';
import { isInBlocks } from './address-blocks.js';
import { digestOf } from './secrets.js';

/** A question as it is sent to `/api-keys/verify`. */
export interface Question {
  readonly key: string;
  readonly ip?: string | undefined;
  readonly model?: string | undefined;
  readonly chatbot?: string | undefined;
  readonly scopes?: readonly string[] | undefined;
  readonly cost?: number | undefined;
}

interface Row {
  readonly digest: string;
  readonly retires_at: Date | null;
  readonly id: number;
  readonly name: string;
  readonly user_id: number;
  readonly scopes: string[];
  readonly tags: string[];
  readonly is_active: boolean;
  readonly is_deleted: boolean;
  readonly is_owner_alive: boolean;
  readonly expires_at: Date | null;
  readonly allowed_ips: string[];
  readonly allowed_models: string[];
  readonly allowed_chatbots: string[];
  readonly rate_limit_per_minute: number | null;
  readonly rate_limit_per_hour: number | null;
  readonly rate_limit_per_day: number | null;
  readonly limit: string | null;
  readonly spent: string | null;
  readonly held: string | null;
  readonly period_type: string | null;
  readonly period_start: string | null;
}

interface Taken {
  count: number;
  firstMs: number;
  lastMs: number;
}

const WINDOWS = [
  ['minute', 60_000],
  ['hour', 3_600_000],
  ['day', 86_400_000],
] as const;

/** A verdict as the reference sees it; `resets` bounds each `reset_at`, in milliseconds. */
export interface ReferenceVerdict {
  readonly answer: Record<string, unknown>;
  readonly resets: readonly (readonly [earliestMs: number, latestMs: number])[];
}

/**
 * Verdicts in the plainest way: the tables are read anew whenever they changed, nothing is compiled or cached, and
 * what was taken from a window is a number. It knows nothing of the service's code.
 */
export class Reference {
  readonly #taken = new Map<string, Taken>();
  #rows = new Map<string, Row>();

  constructor(
    private readonly database: TestDatabase,
    private readonly peppers: readonly string[],
  ) {}

  /** Reads the tables as they are now. */
  async read(): Promise<void> {
    const rows = await this.database.query<Row & Record<string, unknown>>(`
      SELECT encode(s.digest, 'hex') AS digest, s.retires_at, k.id::int, k.name, k.user_id::int, k.scopes, k.tags, k.is_active,
        k.deleted_at IS NOT NULL AS is_deleted, u.is_active AND u.deleted_at IS NULL AS is_owner_alive, k.expires_at,
        k.allowed_ips, k.allowed_models, k.allowed_chatbots,
        k.rate_limit_per_minute, k.rate_limit_per_hour, k.rate_limit_per_day,
        a.limit_micro_cents::text AS "limit", a.spent_micro_cents::text AS spent, a.held_micro_cents::text AS held,
        a.period_type, (a.period_start AT TIME ZONE 'UTC')::text AS period_start
      FROM api_key_secrets s JOIN api_keys k ON k.id = s.api_key_id JOIN users u ON u.id = k.user_id
      LEFT JOIN budget_accounts a ON a.api_key_id = k.id`);
    this.#rows = new Map(rows.map((row) => [row.digest, row]));
  }

  judge(question: Question, nowMs: number): ReferenceVerdict {
    const row = this.peppers
      .map((pepper) => this.#rows.get(digestOf(question.key, pepper).toString('hex')))
      .find((found) => found !== undefined);
    if (row === undefined || row.is_deleted || (row.retires_at !== null && +row.retires_at <= nowMs)) {
      return { answer: { valid: false, code: 'NOT_FOUND' }, resets: [] };
    }
    const cost = question.cost ?? 1;
    const windows = this.#windowsOf(row, nowMs);
    const refusal = refusalOf(row, question, nowMs);
    const hasRoom = windows.every(({ limit, taken }) => taken.count + Math.max(cost, 1) <= limit);
    const code = refusal ?? (hasRoom ? 'VALID' : 'RATE_LIMITED');
    if (code === 'VALID' && cost > 0) for (const { taken } of windows) take(taken, cost, nowMs);
    return {
      answer: {
        valid: code === 'VALID',
        code,
        api_key_id: row.id,
        name: row.name,
        user_id: row.user_id,
        scopes: row.scopes,
        tags: row.tags,
        expires_at: row.expires_at?.toISOString() ?? null,
        rate_limits: windows.map(({ window, limit, taken }) => ({
          window,
          limit,
          remaining: Math.max(0, limit - taken.count),
        })),
        budget: budgetOf(row, nowMs),
      },
      resets: windows.map(({ lengthMs, taken }) =>
        taken.count === 0 ? [nowMs, nowMs] : [taken.firstMs + lengthMs, taken.lastMs + lengthMs * 1.1],
      ),
    };
  }

  #windowsOf(row: Row, nowMs: number) {
    return WINDOWS.flatMap(([window, lengthMs]) => {
      const limit = row[`rate_limit_per_${window}`];
      if (limit === null) return [];
      const name = `${row.id} ${window}`;
      const known = this.#taken.get(name);
      const isOver = known === undefined || known.lastMs + lengthMs * 1.1 <= nowMs;
      const taken = isOver ? { count: 0, firstMs: nowMs, lastMs: nowMs } : known;
      this.#taken.set(name, taken);
      return [{ window, lengthMs, limit, taken }];
    });
  }
}

function take(taken: Taken, cost: number, nowMs: number): void {
  if (taken.count === 0) taken.firstMs = nowMs;
  taken.count += cost;
  taken.lastMs = nowMs;
}

function refusalOf(row: Row, question: Question, nowMs: number): string | undefined {
  if (!row.is_active || !row.is_owner_alive) return 'DISABLED';
  if (row.expires_at !== null && +row.expires_at <= nowMs) return 'EXPIRED';
  const { ip, model, chatbot, scopes = [] } = question;
  if (row.allowed_ips.length > 0 && (ip === undefined || !isInBlocks(ip, row.allowed_ips)))
    return 'IP_NOT_ALLOWED';
  if (!isNamed(row.allowed_models, model)) return 'MODEL_NOT_ALLOWED';
  if (!isNamed(row.allowed_chatbots, chatbot)) return 'CHATBOT_NOT_ALLOWED';
  if (scopes.some((scope) => !row.scopes.includes(scope))) return 'INSUFFICIENT_SCOPE';
  const budget = budgetStateOf(row, nowMs);
  if (budget !== undefined && budget.spent + budget.held >= budget.limit) return 'BUDGET_EXCEEDED';
  return undefined;
}

function isNamed(patterns: readonly string[], name: string | undefined): boolean {
  if (patterns.length === 0) return true;
  return name !== undefined && patterns.some((pattern) => isMatch(pattern, name));
}

/** By the parts between stars: the first begins it, the last ends it, each other one is found as early as it can be. */
function isMatch(pattern: string, name: string): boolean {
  const parts = pattern.split('*');
  if (parts.length === 1) return pattern === name;
  const first = parts.shift()!;
  const last = parts.pop()!;
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last))
    return false;
  let rest = name.slice(first.length, name.length - last.length);
  for (const part of parts) {
    const at = rest.indexOf(part);
    if (at === -1) return false;
    rest = rest.slice(at + part.length);
  }
  return true;
}

/** Amounts in micro-cents; a month that has passed counts nothing. */
function budgetStateOf(row: Row, nowMs: number) {
  if (row.limit === null) return undefined;
  const month = new Date(nowMs).toISOString().slice(0, 7);
  const isOver = row.period_type === 'monthly' && row.period_start!.slice(0, 7) < month;
  return {
    limit: BigInt(row.limit),
    spent: isOver ? 0n : BigInt(row.spent!),
    held: isOver ? 0n : BigInt(row.held!),
  };
}

function budgetOf(row: Row, nowMs: number): unknown {
  const state = budgetStateOf(row, nowMs);
  if (state === undefined) return null;
  const { limit, spent, held } = state;
  const left = limit - spent - held;
  const now = new Date(nowMs);
  const month = (step: number) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + step));
  const isMonthly = row.period_type === 'monthly';
  return {
    limit_cents: Number(limit) / 1e6,
    spent_cents_decimal: decimal(spent),
    held_cents_decimal: decimal(held),
    remaining_cents_decimal: decimal(left < 0n ? 0n : left),
    period_start: isMonthly ? month(0).toISOString() : null,
    period_end: isMonthly ? month(1).toISOString() : null,
  };
}

function decimal(microCents: bigint): string {
  const digits = String(microCents).padStart(7, '0');
  return `${digits.slice(0, -6)}.${digits.slice(-6)}`;
}
