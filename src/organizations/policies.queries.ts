import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { scopeNotFound } from '../auth/scope-check.service.js';
import { type KeyRules, toKeyRules, toStoredRules } from './key-rules.js';
import type { Policy, PolicyTarget } from './policy.js';

/** Of a scope whose policy nobody has set. */
const FIRST_VERSION = 1;

const READ_OF_ORGANIZATION = `
  SELECT organizations.id AS organization_id, NULL::bigint AS project_id, own.rules, own.version, own.updated_at, NULL::jsonb AS inherited
  FROM organizations LEFT JOIN policies AS own ON own.organization_id = organizations.id AND own.project_id IS NULL
  WHERE organizations.id = $1 AND organizations.deleted_at IS NULL`;
const READ_OF_PROJECT = `
  SELECT projects.organization_id, projects.id AS project_id, own.rules, own.version, own.updated_at, above.rules AS inherited
  FROM projects LEFT JOIN policies AS own ON own.project_id = projects.id
  LEFT JOIN policies AS above ON above.organization_id = projects.organization_id AND above.project_id IS NULL
  WHERE projects.id = $1 AND projects.deleted_at IS NULL`;

interface PolicyRow {
  readonly organization_id: number;
  readonly project_id: number | null;
  readonly rules: Partial<KeyRules> | null;
  readonly version: number | null;
  readonly updated_at: Date | null;
  readonly inherited: Partial<KeyRules> | null;
}

/** Policies as they are stored. */
@Injectable()
export class PolicyRows {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  /** @throws AppError `organization.not_found`, `project.not_found` */
  async read({ kind, id }: PolicyTarget): Promise<Policy> {
    const statement = kind === 'organization' ? READ_OF_ORGANIZATION : READ_OF_PROJECT;
    const [row] = await this.#manager.query<PolicyRow[]>(statement, [id]);
    if (row === undefined) throw scopeNotFound(kind);
    return {
      organizationId: row.organization_id,
      projectId: row.project_id,
      rules: toKeyRules(row.rules),
      inherited: row.inherited && toKeyRules(row.inherited),
      version: row.version ?? FIRST_VERSION,
      updatedAt: row.updated_at,
    };
  }

  /**
   * The same, kept from other changes of the policy, and its scope from being deleted, until the transaction ends. Keys are
   * created in the scope meanwhile.
   * @throws AppError `organization.not_found`, `project.not_found`
   */
  async lock(target: PolicyTarget): Promise<Policy> {
    const table = target.kind === 'organization' ? 'organizations' : 'projects';
    await this.#manager.query(`SELECT FROM ${table} WHERE id = $1 FOR NO KEY UPDATE`, [target.id]);
    return this.read(target);
  }

  async save({ organizationId, projectId, rules, version, updatedAt }: Policy): Promise<void> {
    await this.#manager.query(
      `INSERT INTO policies (organization_id, project_id, rules, version, updated_at) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT ON CONSTRAINT policies_key
       DO UPDATE SET rules = excluded.rules, version = excluded.version, updated_at = excluded.updated_at`,
      [organizationId, projectId, JSON.stringify(toStoredRules(rules)), version, updatedAt],
    );
  }

  get #manager() {
    return this.transactions.tx;
  }
}
