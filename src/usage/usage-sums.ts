import { centsFromMicroCents, decimalCentsFromMicroCents } from '../common/money.js';
import { ResponseField } from '../http/fields.js';

/** What was used in some time, by some keys, of some models. */
export interface DetailedUsage {
  readonly requests: number;
  readonly requestTokens: number;
  readonly responseTokens: number;
  readonly costMicroCents: bigint;
}

export const NO_USAGE: DetailedUsage = {
  requests: 0,
  requestTokens: 0,
  responseTokens: 0,
  costMicroCents: 0n,
};

/** The columns of a statement that sums rollups. Sums of bigint are numeric, which is read as text. */
export const USAGE_SUM_COLUMNS = `sum(requests)::bigint AS requests, sum(request_tokens)::bigint AS request_tokens,
  sum(response_tokens)::bigint AS response_tokens, sum(cost_micro_cents)::text AS cost_micro_cents`;

export interface UsageSumRow {
  readonly requests: number;
  readonly request_tokens: number;
  readonly response_tokens: number;
  readonly cost_micro_cents: string;
}

export function toDetailedUsage(row: UsageSumRow): DetailedUsage {
  return {
    requests: row.requests,
    requestTokens: row.request_tokens,
    responseTokens: row.response_tokens,
    costMicroCents: BigInt(row.cost_micro_cents),
  };
}

const COUNT = { type: 'integer', format: 'int64' } as const;

/** Usage on the wire, in JSON and in the last columns of CSV. */
export class DetailedUsageFields {
  @ResponseField(COUNT)
  requests!: number;

  @ResponseField(COUNT)
  request_tokens!: number;

  @ResponseField(COUNT)
  response_tokens!: number;

  @ResponseField({ ...COUNT, description: 'Of requests and responses together.' })
  tokens!: number;

  @ResponseField({ ...COUNT, description: 'Rounded half up.' })
  cost_cents!: number;

  @ResponseField({ type: 'string', description: 'The exact cost in cents.', example: '0.004250' })
  cost_cents_decimal!: string;
}

/** The same as plain values: no instance of a class. */
type UsageFields = { [Name in keyof DetailedUsageFields]: DetailedUsageFields[Name] };

/** Names of the fields of `usageFields`, in their order. */
export const USAGE_FIELD_NAMES = [
  'requests',
  'request_tokens',
  'response_tokens',
  'tokens',
  'cost_cents',
  'cost_cents_decimal',
] as const satisfies readonly (keyof DetailedUsageFields)[];

export function usageFields(usage: DetailedUsage): UsageFields {
  const { requests, requestTokens, responseTokens, costMicroCents } = usage;
  return {
    requests,
    request_tokens: requestTokens,
    response_tokens: responseTokens,
    tokens: requestTokens + responseTokens,
    cost_cents: centsFromMicroCents(costMicroCents),
    cost_cents_decimal: decimalCentsFromMicroCents(costMicroCents),
  };
}

/** The cells of a CSV row, under `USAGE_FIELD_NAMES`. */
export function usageCells(fields: UsageFields): (string | number)[] {
  return USAGE_FIELD_NAMES.map((name) => fields[name]);
}
