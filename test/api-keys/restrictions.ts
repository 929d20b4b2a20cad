/** What a key needs to do all that these tests are about. */
export const MANAGE = ['platform:api-keys:create', 'platform:api-keys:update', 'platform:api-keys:delete'];
export const SCOPES = [...MANAGE, 'chat'];
const EXPIRY = '2999-06-30T12:00:00.000Z';

/** A parent that is restricted in every way, from an address that it may be used from. */
export const PARENT = {
  scopes: SCOPES,
  expires_at: EXPIRY,
  rate_limit_per_minute: 1_000,
  rate_limit_per_hour: 10_000,
  rate_limit_per_day: 100_000,
  allowed_ips: ['127.0.0.0/8', '2001:db8::/32'],
  allowed_models: ['gpt-*', 'claude-3'],
  allowed_chatbots: ['help-*-bot'],
  is_unlimited: false,
  budget_limit_cents: 500,
  budget_type: 'total',
};

/** Of each restriction: what is within the parent's, and what is not, with the field and the rule that is reported. */
export const FIELDS: readonly {
  readonly within: readonly object[];
  readonly beyond: readonly (readonly [fields: object, field: string, message: string])[];
}[] = [
  {
    within: [{ scopes: [] }, { scopes: ['chat'] }, { scopes: SCOPES }],
    beyond: [[{ scopes: ['chat', 'chat:write'] }, 'scopes', 'entry 1 must be a scope of the parent key']],
  },
  {
    within: [{ expires_at: EXPIRY }, { expires_at: '2999-06-30T11:59:59.999Z' }],
    beyond: [null, '2999-06-30T12:00:00.001Z'].map((expires_at) => [
      { expires_at },
      'expires_at',
      `must be set, to ${EXPIRY} at the latest, when the parent key expires`,
    ]),
  },
  ...(['minute', 'hour', 'day'] as const).map((window) => {
    const field = `rate_limit_per_${window}` as const;
    const most = PARENT[field];
    return {
      within: [{ [field]: most }, { [field]: 1 }],
      beyond: [null, most + 1].map(
        (limit) =>
          [
            { [field]: limit },
            field,
            `must be set, to at most ${most}, the limit of the parent key`,
          ] as const,
      ),
    };
  }),
  {
    within: [
      { allowed_ips: ['127.0.0.1'] },
      { allowed_ips: ['127.0.0.0/8', '2001:db8:1::/48', '::ffff:127.1.0.0/112'] },
    ],
    beyond: [
      [{ allowed_ips: [] }, 'allowed_ips', 'must not be empty, since that of the parent key is not'],
      ...['126.0.0.0/7', '128.0.0.1', '0.0.0.0/0', '2001:db8::/31', '::/0', '::1'].map(
        (block) =>
          [
            { allowed_ips: ['127.0.0.1', block] },
            'allowed_ips',
            'entry 1 must lie within one of the parent key',
          ] as const,
      ),
    ],
  },
  {
    within: [{ allowed_models: ['claude-3'] }, { allowed_models: ['gpt-*', 'gpt-4*', 'gpt-*-mini'] }],
    beyond: [
      [{ allowed_models: [] }, 'allowed_models', 'must not be empty, since that of the parent key is not'],
      ...['gpt*', '*', 'claude-*', '*gpt-4', 'GPT-4'].map(
        (pattern) =>
          [
            { allowed_models: [pattern] },
            'allowed_models',
            'entry 0 must lie within one of the parent key',
          ] as const,
      ),
    ],
  },
  {
    within: [{ allowed_chatbots: ['help-me-bot'] }, { allowed_chatbots: ['help-*-desk-bot'] }],
    beyond: [
      [
        { allowed_chatbots: [] },
        'allowed_chatbots',
        'must not be empty, since that of the parent key is not',
      ],
      ...['help-*', '*-bot', 'help-bot'].map(
        (pattern) =>
          [
            { allowed_chatbots: [pattern] },
            'allowed_chatbots',
            'entry 0 must lie within one of the parent key',
          ] as const,
      ),
    ],
  },
  {
    within: [{ budget_limit_cents: 500 }, { budget_limit_cents: 0 }],
    beyond: [
      [{ is_unlimited: true }, 'is_unlimited', 'must be false, as the parent key has it'],
      [
        { budget_limit_cents: 501 },
        'budget_limit_cents',
        'must be at most 500, the budget of the parent key',
      ],
      [{ budget_type: 'monthly' }, 'budget_type', 'must be total, as the parent key has it'],
    ],
  },
];
