import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  ForeignKey,
  Index,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  UpdateDateColumn,
} from 'typeorm';
import { User } from '../users/user.entity.js';

export type BudgetType = 'total' | 'monthly';

const LIVE = { where: 'deleted_at IS NULL' };

/**
 * The policy of an API key. Its secrets and its usage counters live in tables of their own, so a row changes only
 * when the policy does, and `version` with it. `deletedAt` ends it; the row stays for history.
 */
@Entity('api_keys')
@Index('api_keys_live_idx', ['id'], LIVE)
@Index('api_keys_owner_idx', ['userId', 'id'], LIVE)
@Index('api_keys_state_idx', ['isActive', 'id'], LIVE)
@Index('api_keys_owner_state_idx', ['userId', 'isActive', 'id'], LIVE)
@Index('api_keys_parent_key_id_idx', ['parentKeyId'], { where: 'parent_key_id IS NOT NULL' })
@Index('api_keys_ended_idx', ['userId', 'id'], { where: 'deleted_at IS NOT NULL' })
@Index('api_keys_tags_idx', { synchronize: false })
@Index('api_keys_expiry_idx', { synchronize: false })
@Index('api_keys_owner_expiry_idx', { synchronize: false })
@Check('api_keys_name_check', 'char_length(name) BETWEEN 1 AND 100')
@Check('api_keys_rate_limits_check', 'rate limits within their bounds')
@Check('api_keys_budget_check', 'a budget has a limit and a type')
@Check('api_keys_parent_key_id_check', 'a parent is older than its child')
export class ApiKey {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'api_keys_pkey',
  })
  readonly id!: number;

  @ForeignKey(() => User, { name: 'api_keys_user_id_fkey' })
  @Column('bigint', { name: 'user_id' })
  userId!: number;

  /** The key that created this one, and within which it stays; null for one that a person created. Never changes. */
  @ForeignKey(() => ApiKey, { name: 'api_keys_parent_key_id_fkey' })
  @Column('bigint', { name: 'parent_key_id', nullable: true })
  parentKeyId!: number | null;

  @Column('text')
  name!: string;

  @Column('text', { nullable: true })
  description!: string | null;

  /** The first characters of the current secret: a hint for people, never used for look-up. */
  @Column('text', { name: 'key_prefix' })
  keyPrefix!: string;

  @Column('text', { array: true, default: '{}' })
  scopes!: string[];

  @Column('boolean', { name: 'is_active', default: true })
  isActive!: boolean;

  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt!: Date | null;

  /** Requests in any minute; null for no limit. */
  @Column('integer', { name: 'rate_limit_per_minute', nullable: true })
  rateLimitPerMinute!: number | null;

  @Column('integer', { name: 'rate_limit_per_hour', nullable: true })
  rateLimitPerHour!: number | null;

  @Column('integer', { name: 'rate_limit_per_day', nullable: true })
  rateLimitPerDay!: number | null;

  @Column('text', { name: 'allowed_ips', array: true, default: '{}' })
  allowedIps!: string[];

  @Column('text', { name: 'allowed_models', array: true, default: '{}' })
  allowedModels!: string[];

  @Column('text', { name: 'allowed_chatbots', array: true, default: '{}' })
  allowedChatbots!: string[];

  @Column('boolean', { name: 'is_unlimited', default: true })
  isUnlimited!: boolean;

  @Column('bigint', { name: 'budget_limit_cents', nullable: true })
  budgetLimitCents!: number | null;

  @Column('text', { name: 'budget_type', nullable: true })
  budgetType!: BudgetType | null;

  @Column('text', { array: true, default: '{}' })
  tags!: string[];

  /** Counts the changes of this row; the ETag. */
  @Column('integer', { default: 1 })
  version!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt!: Date | null;
}

/** The digest of a secret. A key has one current secret and some that are retiring. */
@Entity('api_key_secrets')
@Index('api_key_secrets_current_key', ['apiKeyId'], { unique: true, where: 'retires_at IS NULL' })
@Index('api_key_secrets_retiring_idx', ['apiKeyId'], { where: 'retires_at IS NOT NULL' })
@Index('api_key_secrets_retires_at_idx', ['retiresAt'], { where: 'retires_at IS NOT NULL' })
@Check('api_key_secrets_digest_check', 'octet_length(digest) = 32')
export class ApiKeySecret {
  @PrimaryColumn('bytea', { primaryKeyConstraintName: 'api_key_secrets_pkey' })
  digest!: Buffer;

  @Column('integer', { name: 'pepper_version' })
  pepperVersion!: number;

  @ForeignKey(() => ApiKey, { name: 'api_key_secrets_api_key_id_fkey' })
  @Column('bigint', { name: 'api_key_id' })
  apiKeyId!: number;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  /** When a former secret ends; null for the current one. */
  @Column('timestamptz', { name: 'retires_at', nullable: true })
  retiresAt!: Date | null;

  /** The first characters of the secret; null for one that was made before they were kept here. */
  @Column('text', { name: 'key_prefix', nullable: true })
  keyPrefix!: string | null;

  /** True to within a minute; null when it was never used. */
  @Column('timestamptz', { name: 'last_used_at', nullable: true })
  lastUsedAt!: Date | null;
}
