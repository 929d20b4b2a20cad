import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  ForeignKey,
  Index,
  PrimaryGeneratedColumn,
  Unique,
  UpdateDateColumn,
} from 'typeorm';

const LIVE = { unique: true, where: 'deleted_at IS NULL' };

/** What organizations and projects have in common. `deletedAt` ends one; its row stays for history. */
abstract class ScopeEntity {
  /** Counts the changes of this row; the ETag. */
  @Column('integer', { default: 1 })
  version!: number;

  @Column('text')
  slug!: string;

  /** For people. */
  @Column('text')
  name!: string;

  /** What another system calls it; null when none does. */
  @Column('text', { name: 'external_id', nullable: true })
  externalId!: string | null;

  /** All keys in a scope that is not active are refused. */
  @Column('boolean', { name: 'is_active', default: true })
  isActive!: boolean;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt!: Date | null;
}

/** A tenant: a company, or a customer of one. */
@Entity('organizations')
@Index('organizations_slug_key', ['slug'], LIVE)
@Index('organizations_external_id_key', ['externalId'], LIVE)
@Check('organizations_slug_check', 'a slug')
@Check('organizations_name_check', '1 to 100 characters')
export class Organization extends ScopeEntity {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'organizations_pkey',
  })
  readonly id!: number;
}

/** A part of an organization, with keys and members of its own. */
@Entity('projects')
@Index('projects_slug_key', ['organizationId', 'slug'], LIVE)
@Index('projects_external_id_key', ['organizationId', 'externalId'], LIVE)
@Index('projects_organization_id_idx', ['organizationId', 'id'], { where: 'deleted_at IS NULL' })
@Unique('projects_id_organization_id_key', ['id', 'organizationId'])
@Check('projects_slug_check', 'a slug')
@Check('projects_name_check', '1 to 100 characters')
export class Project extends ScopeEntity {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'projects_pkey',
  })
  readonly id!: number;

  @ForeignKey(() => Organization, { name: 'projects_organization_id_fkey' })
  @Column('bigint', { name: 'organization_id' })
  organizationId!: number;
}
