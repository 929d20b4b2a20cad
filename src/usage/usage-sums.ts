import { centsFromMicroCents, decimalCentsFromMicroCents } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { ResponseField } from '../contract/fields.js';
import { DECIMAL_CENTS, DECIMAL_COUNT, ROUNDED_CENTS, TOTAL } from '../contract/wire-schemas.js';

/** What was used in some time, by some keys, of some models. */
export interface DetailedUsage {
  readonly requests: bigint;
  readonly requestTokens: bigint;
  readonly responseTokens: bigint;
  readonly costMicroCents: bigint;
}

export const NO_USAGE: DetailedUsage = {
  requests: 0n,
  requestTokens: 0n,
  responseTokens: 0n,
  costMicroCents: 0n,
};

/** The columns of a statement that sums rollups. Sums of bigint are numeric, which is unbounded and read as text. */
export const USAGE_SUM_COLUMNS = `sum(requests)::text AS requests, sum(request_tokens)::text AS request_tokens,
  sum(response_tokens)::text AS response_tokens, sum(cost_micro_cents)::text AS cost_micro_cents`;

export interface UsageSumRow {
  readonly requests: string;
  readonly request_tokens: string;
  readonly response_tokens: string;
  readonly cost_micro_cents: string;
}

export function toDetailedUsage(row: UsageSumRow): DetailedUsage {
  return {
    requests: BigInt(row.requests),
    requestTokens: BigInt(row.request_tokens),
    responseTokens: BigInt(row.response_tokens),
    costMicroCents: BigInt(row.cost_micro_cents),
  };
}

/** Usage on the wire, in JSON and in the last columns of CSV. */
export class DetailedUsageFields {
  @ResponseField({ ...TOTAL, description: 'How many requests; 2^53 − 1 for more.' })
  requests!: number;

  @ResponseField(DECIMAL_COUNT)
  requests_decimal!: string;

  @ResponseField({ ...TOTAL, description: 'Tokens that were sent; 2^53 − 1 for more.' })
  request_tokens!: number;

  @ResponseField(DECIMAL_COUNT)
  request_tokens_decimal!: string;

  @ResponseField({ ...TOTAL, description: 'Tokens that came back; 2^53 − 1 for more.' })
  response_tokens!: number;

  @ResponseField(DECIMAL_COUNT)
  response_tokens_decimal!: string;

  @ResponseField({ ...TOTAL, description: 'Of requests and responses together; 2^53 − 1 for more.' })
  tokens!: number;

  @ResponseField(DECIMAL_COUNT)
  tokens_decimal!: string;

  @ResponseField(ROUNDED_CENTS)
  cost_cents!: number;

  @ResponseField(DECIMAL_CENTS)
  cost_cents_decimal!: string;
}

/** The same as plain values: no instance of a class. */
type UsageFields = { [Name in keyof DetailedUsageFields]: DetailedUsageFields[Name] };

/** Names of the fields of `usageFields` as CSV columns: new ones come last. */
export const USAGE_FIELD_NAMES = [
  'requests',
  'request_tokens',
  'response_tokens',
  'tokens',
  'cost_cents',
  'cost_cents_decimal',
  'requests_decimal',
  'request_tokens_decimal',
  'response_tokens_decimal',
  'tokens_decimal',
] as const satisfies readonly (keyof DetailedUsageFields)[];

export function usageFields(usage: DetailedUsage): UsageFields {
  const { requests, requestTokens, responseTokens, costMicroCents } = usage;
  const tokens = requestTokens + responseTokens;
  return {
    requests: wireInteger(requests),
    requests_decimal: requests.toString(),
    request_tokens: wireInteger(requestTokens),
    request_tokens_decimal: requestTokens.toString(),
    response_tokens: wireInteger(responseTokens),
    response_tokens_decimal: responseTokens.toString(),
    tokens: wireInteger(tokens),
    tokens_decimal: tokens.toString(),
    cost_cents: centsFromMicroCents(costMicroCents),
    cost_cents_decimal: decimalCentsFromMicroCents(costMicroCents),
  };
}

/** The cells of a CSV row, under `USAGE_FIELD_NAMES`. */
export function usageCells(fields: UsageFields): (string | number)[] {
  return USAGE_FIELD_NAMES.map((name) => fields[name]);
}
