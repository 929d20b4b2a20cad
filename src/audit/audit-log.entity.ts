import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/**
 * One trace: who did what to which thing, when, from where, and whether it was let happen. Written once; the
 * database refuses to change or remove it. The table is partitioned by month of `createdAt`.
 */
@Entity('audit_logs')
@Index('audit_logs_user_id_idx', ['userId', 'createdAt', 'id'])
@Index('audit_logs_resource_idx', ['resourceId', 'resourceType', 'createdAt', 'id'])
@Index('audit_logs_failures_idx', ['createdAt', 'id'], { where: 'NOT success' })
@Index('audit_logs_action_idx', ['action', 'createdAt', 'id'])
@Index('audit_logs_position_idx', ['position', 'id'], { where: 'position IS NOT NULL' })
@Index('audit_logs_organization_id_idx', ['organizationId', 'createdAt', 'id'], {
  where: 'organization_id IS NOT NULL',
})
export class AuditLog {
  @PrimaryColumn('timestamptz', { name: 'created_at', primaryKeyConstraintName: 'audit_logs_pkey' })
  readonly createdAt!: Date;

  /** The UUIDv7 of the event it records. */
  @PrimaryColumn('uuid', { primaryKeyConstraintName: 'audit_logs_pkey' })
  readonly id!: string;

  /** The actor; null for the system and for callers that were not authenticated. */
  @Column('bigint', { name: 'user_id', nullable: true })
  readonly userId!: number | null;

  /** Set when the actor's credential was an API key. */
  @Column('bigint', { name: 'api_key_id', nullable: true })
  readonly apiKeyId!: number | null;

  @Column('text')
  readonly action!: string;

  @Column('text', { name: 'resource_type' })
  readonly resourceType!: string;

  @Column('text', { name: 'resource_id', nullable: true })
  readonly resourceId!: string | null;

  @Column('jsonb')
  readonly details!: Readonly<Record<string, unknown>>;

  @Column('text', { name: 'ip_address', nullable: true })
  readonly ipAddress!: string | null;

  @Column('text', { name: 'user_agent', nullable: true })
  readonly userAgent!: string | null;

  @Column('text', { name: 'request_id', nullable: true })
  readonly requestId!: string | null;

  @Column('boolean')
  readonly success!: boolean;

  /** The organization that it is about; null where there is none, and for rows of before there were any. */
  @Column('bigint', { name: 'organization_id', nullable: true })
  readonly organizationId!: number | null;

  /** Set by the database. Grows with the id of the transaction; null for what was written before rows were numbered. */
  @Column('bigint', { nullable: true, default: () => 'audit_log_position()', select: false })
  readonly position?: number | null;
}
