import { ApiSchema } from '@nestjs/swagger';
import type { FieldError } from '../common/app-error.js';
import { isAddressOrBlock } from '../common/ip-address.js';
import {
  BooleanField,
  ChoiceField,
  IdField,
  IntegerField,
  TextField,
  TextListField,
  TimestampField,
} from '../contract/fields.js';
import { CROSS_FIELD_ERRORS, type HasCrossFieldRules } from '../contract/input.pipe.js';
import type { BudgetType } from './api-key.entity.js';
import type { ApiKeyChanges } from './api-key.js';
import { BLANK_POLICY, mergePolicy } from './api-key.policy.js';

const NAME = { minLength: 1, maxLength: 100, example: 'Billing worker' };

/** What a create and an update may both say. Defaults of a new key are those of the policy, not of this class. */
class ApiKeyFields {
  @TextField({ maxLength: 500, optional: true, nullable: true })
  description?: string | null;

  @TextListField({
    optional: true,
    description: 'What the key may do, matched exactly. `platform:` scopes act on this service.',
  })
  scopes?: string[];

  @TimestampField({
    optional: true,
    nullable: true,
    description: 'When the key ends; must lie in the future.',
    example: '2030-01-31T12:00:00Z',
  })
  expires_at?: Date | null;

  @IntegerField({
    minimum: 1,
    maximum: 10_000,
    optional: true,
    nullable: true,
    description: 'Null for no limit.',
  })
  rate_limit_per_minute?: number | null;

  @IntegerField({
    minimum: 1,
    maximum: 100_000,
    optional: true,
    nullable: true,
    description: 'Null for no limit.',
  })
  rate_limit_per_hour?: number | null;

  @IntegerField({
    minimum: 1,
    maximum: 1_000_000,
    optional: true,
    nullable: true,
    description: 'Null for no limit.',
  })
  rate_limit_per_day?: number | null;

  @TextListField({
    entryCheck: addressCheck,
    optional: true,
    description:
      'IPv4 or IPv6 addresses or CIDR blocks; empty for any. `::/0` is every IPv6 address and needs an entry for IPv4 beside it.',
    example: ['203.0.113.0/24'],
  })
  allowed_ips?: string[];

  @TextListField({
    optional: true,
    description: 'Model names, exact or with `*`; empty for any.',
    example: ['gpt-4*'],
  })
  allowed_models?: string[];

  @TextListField({ optional: true, description: 'Chatbot names, exact or with `*`; empty for any.' })
  allowed_chatbots?: string[];

  @BooleanField({ optional: true, description: 'True (on create the default): no budget.' })
  is_unlimited?: boolean;

  @IntegerField({
    minimum: 0,
    maximum: 1_000_000_000_000,
    optional: true,
    nullable: true,
    description: 'Required when `is_unlimited` is false, refused when it is true.',
  })
  budget_limit_cents?: number | null;

  @ChoiceField({
    choices: ['total', 'monthly'],
    optional: true,
    nullable: true,
    description: 'The period of the budget: the whole life of the key (default), or each UTC month.',
  })
  budget_type?: BudgetType | null;

  @TextListField({ optional: true, example: ['production'] })
  tags?: string[];
}

@ApiSchema({ name: 'ApiKeyCreate' })
export class CreateApiKeyDto extends ApiKeyFields implements HasCrossFieldRules {
  @TextField(NAME)
  name!: string;

  /** What the service would say of the budget, the expiry and the addresses. */
  [CROSS_FIELD_ERRORS](isBroken: (field: string) => boolean, now: Date): readonly FieldError[] {
    const budget = ['is_unlimited', 'budget_limit_cents', 'budget_type'] as const;
    const { is_unlimited, budget_limit_cents, budget_type, expires_at, allowed_ips } = this;
    const merged = mergePolicy(
      BLANK_POLICY,
      {
        ...(budget.some(isBroken)
          ? {}
          : { isUnlimited: is_unlimited, budgetLimitCents: budget_limit_cents, budgetType: budget_type }),
        ...(isBroken('expires_at') ? {} : { expiresAt: expires_at }),
        ...(isBroken('allowed_ips') ? {} : { allowedIps: allowed_ips }),
      },
      now,
    );
    return merged.kind === 'invalid' ? merged.errors : [];
  }
}

@ApiSchema({ name: 'ApiKeyUpdate' })
export class UpdateApiKeyDto extends ApiKeyFields {
  @TextField({ ...NAME, optional: true })
  name?: string;

  @BooleanField({ optional: true })
  is_active?: boolean;
}

@ApiSchema({ name: 'ApiKeyRegenerate' })
export class RegenerateApiKeyDto {
  @IntegerField({
    minimum: 0,
    maximum: 604_800,
    optional: true,
    default: 0,
    description: 'Seconds the old secret stays valid; 0 ends all earlier secrets at once.',
  })
  grace_period_seconds: number = 0;
}

export class ApiKeyIdParameter {
  @IdField('The id of an API key.')
  id!: number;
}

export class ApiKeySecretParameters extends ApiKeyIdParameter {
  @TextField({
    minLength: 16,
    maxLength: 16,
    pattern: { regex: /^[0-9a-f]+$/, rule: 'made of hexadecimal digits' },
    description: 'The id of one of the key’s `secrets`.',
    example: '9f86d081884c7d65',
  })
  secret_id!: string;
}

/** The fields of a create or an update as the service takes them. */
export function toApiKeyChanges(body: CreateApiKeyDto | UpdateApiKeyDto): ApiKeyChanges {
  return {
    name: body.name,
    description: body.description,
    scopes: body.scopes,
    isActive: 'is_active' in body ? body.is_active : undefined,
    expiresAt: body.expires_at,
    rateLimitPerMinute: body.rate_limit_per_minute,
    rateLimitPerHour: body.rate_limit_per_hour,
    rateLimitPerDay: body.rate_limit_per_day,
    allowedIps: body.allowed_ips,
    allowedModels: body.allowed_models,
    allowedChatbots: body.allowed_chatbots,
    isUnlimited: body.is_unlimited,
    budgetLimitCents: body.budget_limit_cents,
    budgetType: body.budget_type,
    tags: body.tags,
  };
}

function addressCheck(entry: unknown): string | undefined {
  const rule = 'must be an IPv4 or IPv6 address or a CIDR block';
  return typeof entry === 'string' && entry.length <= 200 && isAddressOrBlock(entry) ? undefined : rule;
}
