import {
  Check,
  Column,
  type ColumnOptions,
  CreateDateColumn,
  Entity,
  ForeignKey,
  Index,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  Unique,
  UpdateDateColumn,
} from 'typeorm';
import { bareClass } from '../common/bare-class.js';
import { User } from '../users/user.entity.js';
import type { ApiKeyPolicy, InactiveReason, OwnerKind } from './api-key.js';
import type { ApiKeyField } from './api-key-field.js';
import { FIELD_NAMES, fieldOf } from './api-key.fields.js';

type Mutable<Type> = { -readonly [Name in keyof Type]: Type[Name] };

const COLUMN_TYPES = {
  text: 'text',
  choice: 'text',
  texts: 'text',
  boolean: 'boolean',
  timestamp: 'timestamptz',
} as const;
/** Its members are declared as columns below. */
const Policy = bareClass() as new () => Mutable<ApiKeyPolicy>;
const LIVE = { where: 'deleted_at IS NULL' };

/**
 * The policy of an API key. Its secrets and its usage counters live in tables of their own, so a row changes only
 * when the policy does, and `version` with it. `deletedAt` ends it; the row stays for history. The columns of the policy
 * are those of the table of its fields.
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
@Index('api_keys_project_idx', ['projectId', 'id'], LIVE)
@Index('api_keys_organization_idx', ['organizationId', 'id'], LIVE)
@Index('api_keys_inactive_reason_idx', ['inactiveReason', 'id'], {
  where: 'inactive_reason IS NOT NULL AND deleted_at IS NULL',
})
@Unique('api_keys_id_project_id_key', ['id', 'projectId'])
@ForeignKey('Project', ['projectId', 'organizationId'], ['id', 'organizationId'], {
  name: 'api_keys_project_id_fkey',
})
@ForeignKey(() => User, ['userId', 'ownerKind'], ['id', 'kind'], { name: 'api_keys_owner_kind_fkey' })
@ForeignKey(() => User, ['serviceAccountId', 'projectId'], ['id', 'projectId'], {
  name: 'api_keys_service_account_id_fkey',
})
@ForeignKey(() => ApiKey, ['parentKeyId', 'projectId'], ['id', 'projectId'], {
  name: 'api_keys_parent_project_fkey',
})
@Check('api_keys_service_account_check', 'the owner once more, where that is a service account')
@Check('api_keys_inactive_reason_check', 'only an inactive key has a reason')
@Check('api_keys_parent_key_id_check', 'a parent is older than its child')
export class ApiKey extends Policy {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'api_keys_pkey',
  })
  readonly id!: number;

  @ForeignKey(() => User, { name: 'api_keys_user_id_fkey' })
  @Column('bigint', { name: 'user_id' })
  userId!: number;

  @Column('bigint', { name: 'organization_id', default: 1 })
  organizationId!: number;

  @Column('bigint', { name: 'project_id', default: 1 })
  projectId!: number;

  /** The kind of its owner, here so that foreign keys can hold that the key of a service account stays in its project. */
  @Column('text', { name: 'owner_kind', default: 'person' })
  ownerKind!: OwnerKind;

  /** The owner once more, where that is a service account. */
  @Column('bigint', { name: 'service_account_id', nullable: true })
  serviceAccountId!: number | null;

  /** Why it is not active, where that came from elsewhere than a change of the key. */
  @Column('text', { name: 'inactive_reason', nullable: true })
  inactiveReason!: InactiveReason | null;

  /** The key that created this one, and within which it stays; null for one that a person created. Never changes. */
  @ForeignKey(() => ApiKey, { name: 'api_keys_parent_key_id_fkey' })
  @Column('bigint', { name: 'parent_key_id', nullable: true })
  parentKeyId!: number | null;

  /** The first characters of the current secret: a hint for people, never used for look-up. */
  @Column('text', { name: 'key_prefix' })
  keyPrefix!: string;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  /** Counts the changes of this row; the ETag. */
  @Column('integer', { default: 1 })
  version!: number;

  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt!: Date | null;
}

for (const name of FIELD_NAMES) Column(columnOf(fieldOf(name)))(ApiKey.prototype, name);

function columnOf(field: ApiKeyField): ColumnOptions {
  const { wireName, kind, isNullable = false, onCreate, initial } = field;
  const hasDefault = !isNullable && onCreate !== 'required';
  return {
    name: wireName,
    type: kind === 'integer' ? field.column : COLUMN_TYPES[kind],
    array: kind === 'texts',
    nullable: isNullable,
    ...(hasDefault ? { default: kind === 'texts' ? '{}' : initial } : {}),
  };
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
