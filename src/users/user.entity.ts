import {
  Check,
  Column,
  CreateDateColumn,
  Entity,
  ForeignKey,
  Index,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  Unique,
  UpdateDateColumn,
} from 'typeorm';

/** A named set of permissions; the built-in ones are made by the migrations. */
@Entity('roles')
export class Role {
  @PrimaryColumn('text', { primaryKeyConstraintName: 'roles_pkey' })
  name!: string;

  @Column('text', { array: true })
  permissions!: string[];
}

/** A person or a program that calls the service. `deletedAt` ends it; its row stays for history. */
@Entity('users')
@Check('users_kind_check', 'a service account is in a project')
@Unique('users_id_kind_key', ['id', 'kind'])
@Unique('users_id_project_id_key', ['id', 'projectId'])
@Index('users_project_id_idx', ['projectId', 'id'], { where: 'project_id IS NOT NULL' })
@ForeignKey('Project', ['projectId', 'organizationId'], ['id', 'organizationId'], {
  name: 'users_project_id_fkey',
})
@Index('users_username_key', ['username'], { unique: true, where: 'deleted_at IS NULL' })
export class User {
  @PrimaryGeneratedColumn('identity', {
    type: 'bigint',
    generatedIdentity: 'ALWAYS',
    primaryKeyConstraintName: 'users_pkey',
  })
  readonly id!: number;

  /** Lower case. */
  @Column('text')
  username!: string;

  /** A person, or a service account: a user of one project, which cannot log in. */
  @Column('text', { default: 'person' })
  readonly kind!: 'person' | 'service';

  @Column('bigint', { name: 'project_id', nullable: true })
  readonly projectId!: number | null;

  @Column('bigint', { name: 'organization_id', nullable: true })
  readonly organizationId!: number | null;

  @Column('text', { name: 'password_hash' })
  passwordHash!: string;

  @ForeignKey(() => Role, { name: 'users_role_fkey' })
  @Column('text')
  role!: string;

  @Column('text', { array: true, default: '{}' })
  permissions!: string[];

  @Column('boolean', { name: 'is_active', default: true })
  isActive!: boolean;

  @CreateDateColumn({ name: 'created_at', type: 'timestamptz' })
  createdAt!: Date;

  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz' })
  updatedAt!: Date;

  @Column('timestamptz', { name: 'deleted_at', nullable: true })
  deletedAt!: Date | null;
}
