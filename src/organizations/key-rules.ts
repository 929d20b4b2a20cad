import { isAddressOrBlock } from '../common/ip-address.js';

/*
 * The one table of what a policy can ask of API keys. From it follow the types of the rules, the bodies of requests and
 * responses, and what a project may say under its organization.
 */

/** How a rule of a project stays within the same rule of its organization. */
type Narrowing = 'at most' | 'addresses' | 'names' | 'same';

interface Rule {
  readonly description: string;
  /** Absent where a project may say anything: what it says replaces nothing of the organization. */
  readonly narrows?: Narrowing;
  readonly example?: unknown;
}

interface IntegerRule extends Rule {
  readonly kind: 'integer';
  readonly minimum: number;
  readonly maximum: number;
}

interface TextRule extends Rule {
  readonly kind: 'text';
  readonly maxLength: number;
}

interface TextsRule extends Rule {
  readonly kind: 'texts';
  readonly entryCheck?: (entry: unknown) => string | undefined;
}

interface ChoiceRule extends Rule {
  readonly kind: 'choice';
  readonly choices: readonly string[];
  /** The one that binds more. */
  readonly strict: string;
}

interface BooleanRule extends Rule {
  readonly kind: 'boolean';
}

interface TimestampRule extends Rule {
  readonly kind: 'timestamp';
}

/** A row of the table. */
export type KeyRule = IntegerRule | TextRule | TextsRule | ChoiceRule | BooleanRule | TimestampRule;

const MOST_DAYS = 36_500;
const DAYS = { kind: 'integer', minimum: 1, maximum: MOST_DAYS } as const;
/** Keys are counted when one is created: few enough to count at once. */
const KEYS = { kind: 'integer', minimum: 0, maximum: 100_000, narrows: 'at most' } as const;

/** Every rule, in the order in which the API shows them. Null, and an empty list, bind nothing. */
export const KEY_RULES = {
  max_ttl_days: {
    ...DAYS,
    narrows: 'at most',
    description: 'Days after its creation by which a key must expire.',
    example: 90,
  },
  default_ttl_days: {
    ...DAYS,
    description:
      'Days after which a new key expires that says nothing of `expires_at`; never more than `max_ttl_days`. That of a project counts before that of its organization.',
    example: 30,
  },
  required_ips: {
    kind: 'texts',
    entryCheck: addressCheck,
    narrows: 'addresses',
    description: 'A key must have `allowed_ips`, each within one of these addresses and blocks.',
    example: ['203.0.113.0/24'],
  },
  allowed_scopes: {
    kind: 'texts',
    narrows: 'names',
    description: 'Each scope of a key must match one of these, exact or with `*`.',
    example: ['chat:*'],
  },
  allowed_models: {
    kind: 'texts',
    narrows: 'names',
    description:
      'A key must have `allowed_models`, each of which allows nothing beyond one of these, exact or with `*`.',
    example: ['gpt-4*'],
  },
  name_pattern: {
    kind: 'text',
    maxLength: 200,
    narrows: 'names',
    description: 'The name of a key must match this; `*` stands for any text.',
    example: 'billing-*',
  },
  max_keys: {
    ...KEYS,
    description:
      'The most keys that are switched on. Judged when one is created or activated, and then alone.',
    example: 100,
  },
  max_keys_per_member: {
    ...KEYS,
    description: 'The same for the keys of each person.',
    example: 5,
  },
  require_budget: {
    kind: 'boolean',
    narrows: 'same',
    description: 'True: a key must have a budget.',
    example: true,
  },
  max_budget_cents: {
    kind: 'integer',
    minimum: 0,
    maximum: 1_000_000_000_000,
    narrows: 'at most',
    description: 'A key must have a budget, of at most so much.',
    example: 100_000,
  },
  personal_keys: {
    kind: 'choice',
    choices: ['allow', 'deny'],
    strict: 'deny',
    narrows: 'same',
    description: '`deny`: only service accounts may have keys. Null is `allow`.',
    example: 'allow',
  },
  rotate_after_days: {
    ...DAYS,
    narrows: 'at most',
    description:
      'Days after which the current secret of a key is too old: the key must be regenerated before. Former secrets keep their grace period.',
    example: 180,
  },
  enforcement: {
    kind: 'choice',
    choices: ['new_keys', 'all'],
    strict: 'all',
    description:
      'What the rules of this policy bind. `new_keys`: keys that are created, changed, activated or regenerated from now on. `all`: verdicts as well refuse keys that break them, with `POLICY_VIOLATION`. Null is `new_keys`.',
    example: 'new_keys',
  },
  enforced_from: {
    kind: 'timestamp',
    description: 'When `all` begins for verdicts; null for at once.',
    example: '2030-01-31T12:00:00Z',
  },
} as const satisfies Record<string, KeyRule>;

/** The name of a rule, on the wire and in the database. */
export type KeyRuleName = keyof typeof KEY_RULES;

interface KindValues {
  readonly integer: number;
  readonly text: string;
  readonly texts: readonly string[];
  readonly boolean: boolean;
  /** ISO 8601. */
  readonly timestamp: string;
}

type RuleValue<Row> = Row extends { readonly kind: 'choice'; readonly choices: readonly (infer Choice)[] }
  ? Choice
  : Row extends { readonly kind: keyof KindValues }
    ? KindValues[Row['kind']]
    : never;

/** The rules of one policy, as the API and the database have them. */
export type KeyRules = { readonly [Name in KeyRuleName]: RuleValue<(typeof KEY_RULES)[Name]> | null };

/** All names, in the order of the table. */
export const KEY_RULE_NAMES = Object.keys(KEY_RULES) as readonly KeyRuleName[];

/** One row, with all that some rows have. */
export function ruleOf(name: KeyRuleName): KeyRule {
  return KEY_RULES[name];
}

/** The rules that a row has; those that it lacks bind nothing. */
export function toKeyRules(stored: Partial<KeyRules> | null): KeyRules {
  return Object.fromEntries(
    KEY_RULE_NAMES.map((name) => [name, stored?.[name] ?? null]),
  ) as unknown as KeyRules;
}

/** The same without those that bind nothing, for a row. */
export function toStoredRules(rules: KeyRules): Partial<KeyRules> {
  return Object.fromEntries(Object.entries(rules).filter(([, value]) => value !== null));
}

function addressCheck(entry: unknown): string | undefined {
  const rule = 'must be an IPv4 or IPv6 address or a CIDR block';
  return typeof entry === 'string' && entry.length <= 200 && isAddressOrBlock(entry) ? undefined : rule;
}
