/** What a field accepts, what it refuses, and how it says so. */
export interface FieldRule {
  readonly field: string;
  readonly valid: readonly unknown[];
  readonly invalid: readonly (readonly [value: unknown, message: string])[];
  /** Fields without which a valid value would break a rule across fields. */
  readonly beside?: Readonly<Record<string, unknown>>;
}

const NOT_STRINGS = [1, true, {}, []] as const;
const UNSTORABLE = 'must not hold NUL characters or lone surrogates';
const NULL = [null, 'must not be null'] as const;
/** One character that takes two UTF-16 units and four bytes of UTF-8. */
const WIDE = '\u{1F511}';

const NO_ADDRESSES: readonly unknown[] = [
  ...'localhost|*|192.0.2|192.0.2.256|010.0.0.1|192.0.2.1:80|192.0.2.1 |192.0.2.1,192.0.2.2|0x7f.1|1'.split(
    '|',
  ),
  ...'||/8|2001:db8:::1|fe80::1%eth0|[::1]|2001:db8::/129|192.0.2.0/33|192.0.2.0/-1|192.0.2.0/'.split('|'),
  ...'192.0.2.0/08|192.0.2.0/8/8|192.0.2.0/1e1| '.split('|'),
  `${'0'.repeat(300)}1`,
  1,
  null,
  [],
  {},
];

/** Every field of a create and of an update, with both sides of each of its bounds. */
export const API_KEY_FIELDS: readonly FieldRule[] = [
  text('name', 1, 100, false),
  text('description', 0, 500, true),
  textList('scopes'),
  {
    field: 'expires_at',
    valid: [null, '2999-12-31T23:59:59.999Z'],
    invalid: [
      ...[
        '2999-12-31',
        '2999-12-31T00:00:00',
        '2999-02-30T00:00:00Z',
        '2999-01-01T24:00:00Z',
        'soon',
        '',
      ].map(notTimestamp),
      ...[32_503_680_000, true, {}, ['2999-12-31T00:00:00Z']].map(notTimestamp),
      ['2020-01-01T00:00:00Z', 'must lie in the future'],
    ],
  },
  integer('rate_limit_per_minute', 1, 10_000),
  integer('rate_limit_per_hour', 1, 100_000),
  integer('rate_limit_per_day', 1, 1_000_000),
  {
    field: 'allowed_ips',
    valid: [
      [],
      ['192.0.2.1'],
      [
        '0.0.0.0/0',
        '::/0',
        '192.0.2.0/24',
        '192.0.2.1/32',
        '2001:db8::1',
        '2001:db8::/128',
        '::ffff:192.0.2.1',
      ],
      ['::/0', '::ffff:192.0.2.1'],
      ['::/1', '8000::/1'],
      ['0.0.0.0/0'],
      distinct(100, (index) => `10.0.0.${index}`),
    ],
    invalid: [
      ...lists((index) => `10.0.${index >> 8}.${index & 255}`),
      ...NO_ADDRESSES.map(
        (entry) => [[entry], 'entry 0 must be an IPv4 or IPv6 address or a CIDR block'] as const,
      ),
      ...[['::/0'], ['2001:db8::1', '0::/0'], ['::/0', '2001:db8::/32', 'fe80::1']].map(
        (entries) =>
          [
            entries,
            'admits no IPv4 address: add 0.0.0.0/0, or leave the list empty for any address',
          ] as const,
      ),
    ],
  },
  textList('allowed_models'),
  textList('allowed_chatbots'),
  {
    field: 'is_unlimited',
    valid: [true],
    invalid: [NULL, ...['true', 1, 0, [], {}].map(notBoolean)],
  },
  { ...integer('budget_limit_cents', 0, 1_000_000_000_000, false), beside: { is_unlimited: false } },
  {
    field: 'budget_type',
    valid: ['total', 'monthly'],
    invalid: ['weekly', 'Total', '', 1, true, ['total']].map((value) => [
      value,
      'must be one of total, monthly',
    ]),
    beside: { is_unlimited: false, budget_limit_cents: 1 },
  },
  textList('tags'),
];

/** Bodies that break a rule of every body, each with its errors. */
export const UNSAFE_BODIES: readonly (readonly [rawBody: string, field: string, message: string])[] = [
  ...['id', 'user_id', 'owner_id', 'created_by', 'key_prefix', 'version', 'total_requests', 'deleted_at'].map(
    (field) => [`{"${field}":1}`, field, 'is not a known property'] as const,
  ),
  ...['userId', 'isActive', 'toString', 'hasOwnProperty', '', ' name'].map(
    (field) => [`{"${field}":1}`, field, 'is not a known property'] as const,
  ),
  ...['__proto__', 'constructor', 'prototype'].map(
    (field) => [`{"${field}":{"is_active":true}}`, field, 'is not a known property'] as const,
  ),
  [
    `{"description":${'['.repeat(20)}${']'.repeat(20)}}`,
    `description${'[0]'.repeat(15)}`,
    'is nested too deeply',
  ],
  ...['[]', '"text"', '1', 'true'].map((body) => [body, 'body', 'must be a JSON object'] as const),
];

function text(field: string, minimum: number, maximum: number, isNullable: boolean): FieldRule {
  const length = `must be ${minimum} to ${maximum} characters long`;
  return {
    field,
    valid: [
      'x'.repeat(minimum),
      'x'.repeat(maximum),
      WIDE.repeat(maximum),
      `' OR 1=1 -- %_\\"<b>\n\t`,
      ...(isNullable ? [null] : []),
    ],
    invalid: [
      ...(minimum === 0 ? [] : [['x'.repeat(minimum - 1), length] as const]),
      ['x'.repeat(maximum + 1), length],
      [WIDE.repeat(maximum + 1), length],
      ['x'.repeat(60_000), length],
      ['a\0b', UNSTORABLE],
      ['a\ud800b', UNSTORABLE],
      ['\udc00', UNSTORABLE],
      ...NOT_STRINGS.map((value) => [value, 'must be a string'] as const),
      ...(isNullable ? [] : [NULL]),
    ],
  };
}

function textList(field: string): FieldRule {
  const length = 'entry 0 must be 1 to 200 characters long';
  return {
    field,
    valid: [
      [],
      ['x'],
      ['x'.repeat(200), WIDE.repeat(200)],
      distinct(100, (index) => `${index}`.padEnd(200, 'x')),
      ['A', 'a', ' a', '*', '{}', '"', ',', 'NULL', '\\'],
    ],
    invalid: [
      ...lists((index) => `entry-${index}`),
      [['x'.repeat(201)], length],
      [[WIDE.repeat(201)], length],
      [[''], length],
      ...[1, null, true, {}, ['x']].map((entry) => [[entry], 'entry 0 must be a string'] as const),
    ],
  };
}

/** What every list refuses; `entry` makes distinct, valid entries. */
function lists(entry: (index: number) => string): FieldRule['invalid'] {
  return [
    NULL,
    ...['x', 1, true, {}].map((value) => [value, 'must be a list of strings'] as const),
    [distinct(101, entry), 'must have at most 100 entries'],
    [[entry(1), entry(2), entry(1)], 'must not repeat an entry'],
  ];
}

function integer(field: string, minimum: number, maximum: number, isClearable = true): FieldRule {
  const message = `must be a whole number from ${minimum} to ${maximum}`;
  const invalid = [minimum - 1, maximum + 1, minimum + 0.5, -1, 1e300, Number.MAX_SAFE_INTEGER + 1];
  return {
    field,
    valid: [minimum, maximum, ...(isClearable ? [null] : [])],
    invalid: [...invalid, String(minimum), '', true, [minimum], {}].map((value) => [value, message]),
  };
}

function notTimestamp(value: unknown): readonly [unknown, string] {
  return [value, 'must be an ISO 8601 timestamp with a time zone, such as 2030-01-31T12:00:00Z'];
}

function notBoolean(value: unknown): readonly [unknown, string] {
  return [value, 'must be true or false'];
}

function distinct(count: number, entry: (index: number) => string): string[] {
  return Array.from({ length: count }, (_, index) => entry(index));
}
