import { BUDGET_TYPES } from '../budgets/budget.policy.js';
import { isAddressOrBlock } from '../common/ip-address.js';
import type { ApiKeyField, Restriction, ShownAs, ValueOf } from './api-key-field.js';

/*
 * The one table of what a caller may set of a key. From it follow the types of a policy, of its row and of its bodies, the
 * columns, what a request is checked for, what the API document says, and what binds the children of a key.
 */

const RATE_LIMIT = {
  kind: 'integer',
  column: 'integer',
  isNullable: true,
  initial: null,
  minimum: 1,
  request: { description: 'Null for no limit.' },
  response: { description: 'Null for no limit.' },
  restriction: 'limit',
  cachedFor: 'line',
} as const;

/** Every field of a policy, in the order in which the API shows them. */
export const API_KEY_FIELDS = {
  name: {
    wireName: 'name',
    kind: 'text',
    minLength: 1,
    maxLength: 100,
    onCreate: 'required',
    initial: '',
    request: { description: 'For people; need not be unique.', example: 'Billing worker' },
    response: { description: 'For people; need not be unique.', example: 'Billing worker' },
    cachedFor: 'key',
  },
  description: {
    wireName: 'description',
    kind: 'text',
    isNullable: true,
    maxLength: 500,
    initial: null,
    request: { description: 'For people.' },
    response: { description: 'For people.' },
  },
  scopes: {
    wireName: 'scopes',
    kind: 'texts',
    initial: [],
    request: {
      description: 'What the key may do, matched exactly. `platform:` scopes act on this service.',
    },
    response: { description: 'What the key may do.' },
    restriction: 'scopes',
    cachedFor: 'line',
  },
  isActive: {
    wireName: 'is_active',
    kind: 'boolean',
    onCreate: 'refused',
    initial: true,
    request: { description: 'The switch of the key: `false` refuses it at once.' },
    response: { description: 'The switch of the key alone; `state` says what the key is worth.' },
    restriction: 'switch',
    cachedFor: 'line',
  },
  expiresAt: {
    wireName: 'expires_at',
    kind: 'timestamp',
    isNullable: true,
    initial: null,
    request: {
      description: 'When the key ends; must lie in the future.',
      example: '2030-01-31T12:00:00Z',
    },
    response: { description: 'When the key expires; null when it does not.' },
    restriction: 'expiry',
    cachedFor: 'line',
  },
  rateLimitPerMinute: { wireName: 'rate_limit_per_minute', ...RATE_LIMIT, maximum: 10_000 },
  rateLimitPerHour: { wireName: 'rate_limit_per_hour', ...RATE_LIMIT, maximum: 100_000 },
  rateLimitPerDay: { wireName: 'rate_limit_per_day', ...RATE_LIMIT, maximum: 1_000_000 },
  allowedIps: {
    wireName: 'allowed_ips',
    kind: 'texts',
    entryCheck: addressCheck,
    initial: [],
    request: {
      description:
        'IPv4 or IPv6 addresses or CIDR blocks; empty for any. `::/0` is every IPv6 address and needs an entry for IPv4 beside it.',
      example: ['203.0.113.0/24'],
    },
    response: { description: 'Addresses and blocks it may be used from; empty for any.' },
    restriction: 'addresses',
    cachedFor: 'line',
  },
  allowedModels: {
    wireName: 'allowed_models',
    kind: 'texts',
    initial: [],
    request: { description: 'Model names, exact or with `*`; empty for any.', example: ['gpt-4*'] },
    response: { description: 'Models it may use; empty for any.' },
    restriction: 'names',
    asked: {
      input: 'model',
      description: 'The model it is used for.',
      refusal: 'MODEL_NOT_ALLOWED',
    },
    cachedFor: 'line',
  },
  allowedChatbots: {
    wireName: 'allowed_chatbots',
    kind: 'texts',
    initial: [],
    request: { description: 'Chatbot names, exact or with `*`; empty for any.' },
    response: { description: 'Chatbots it may use; empty for any.' },
    restriction: 'names',
    asked: {
      input: 'chatbot',
      description: 'The chatbot it is used with.',
      refusal: 'CHATBOT_NOT_ALLOWED',
    },
    cachedFor: 'line',
  },
  isUnlimited: {
    wireName: 'is_unlimited',
    kind: 'boolean',
    initial: true,
    request: { description: 'True (on create the default): no budget.' },
    response: { description: 'True: the key has no budget of its own.' },
    restriction: 'budget',
  },
  budgetLimitCents: {
    wireName: 'budget_limit_cents',
    kind: 'integer',
    column: 'bigint',
    isNullable: true,
    minimum: 0,
    maximum: 1_000_000_000_000,
    initial: null,
    request: { description: 'Required when `is_unlimited` is false, refused when it is true.' },
    response: { description: 'The budget in whole cents; null for none.' },
    restriction: 'budget',
  },
  budgetType: {
    wireName: 'budget_type',
    kind: 'choice',
    choices: BUDGET_TYPES,
    schemaName: 'BudgetType',
    isNullable: true,
    initial: null,
    request: {
      description: 'The period of the budget: the whole life of the key (default), or each UTC month.',
    },
    response: { description: 'The period of the budget; null for none.' },
    restriction: 'budget',
  },
  tags: {
    wireName: 'tags',
    kind: 'texts',
    initial: [],
    request: { description: 'Labels, for people and for lists.', example: ['production'] },
    response: { description: 'Labels, for people and for lists.' },
    cachedFor: 'key',
  },
} as const satisfies Record<string, ApiKeyField>;

/** The table as it is, with the type of each row. */
export type ApiKeyFields = typeof API_KEY_FIELDS;

/** The names of the fields in code. */
export type FieldName = keyof ApiKeyFields;

/** All names, in the order of the table. */
export const FIELD_NAMES = Object.keys(API_KEY_FIELDS) as readonly FieldName[];

/** One row, with all that some rows have. */
export function fieldOf(name: FieldName): ApiKeyField {
  return API_KEY_FIELDS[name];
}

/** The name of a field on the wire, and of its column. */
export function wireNameOf<Name extends FieldName>(name: Name): ApiKeyFields[Name]['wireName'] {
  return API_KEY_FIELDS[name].wireName;
}

/** The names of the fields in whose rows `property` is one of `values`. */
export type NamesWith<Property extends string, Value> = {
  [Name in FieldName]: ApiKeyFields[Name] extends Readonly<Record<Property, Value>> ? Name : never;
}[FieldName];

/** The fields that restrict a key in this way. */
export function fieldsWithRestriction<Kind extends Restriction>(
  kind: Kind,
): readonly NamesWith<'restriction', Kind>[] {
  return FIELD_NAMES.filter(
    (name): name is NamesWith<'restriction', Kind> => fieldOf(name).restriction === kind,
  );
}

/** The columns that verdicts have in memory, of the key alone or of its whole line. */
export function cachedColumns(of: 'key' | 'line'): readonly string[] {
  return FIELD_NAMES.filter((name) => fieldOf(name).cachedFor === of).map(wireNameOf);
}

/** The value of a field in code and in a row of the database. */
export type FieldValue<Name extends FieldName> = ValueOf<ApiKeyFields[Name]>;

/** The value of a field in an answer. */
export type ShownValue<Name extends FieldName> = ShownAs<FieldValue<Name>>;

function addressCheck(entry: unknown): string | undefined {
  const rule = 'must be an IPv4 or IPv6 address or a CIDR block';
  return typeof entry === 'string' && entry.length <= 200 && isAddressOrBlock(entry) ? undefined : rule;
}
