import { Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { requireIn } from '../auth/scope.policy.js';
import { scopeNotFound } from '../auth/scope-check.service.js';
import { Clock } from '../common/clock.js';
import { ReportQueries } from '../database/report.queries.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { KEY_RULE_NAMES, type KeyRuleName } from '../organizations/key-rules.js';
import type { RuledKey } from '../organizations/key-checks.policy.js';
import { compiledRules } from '../organizations/key-rules.policy.js';
import { type KeyRuleChanges, PoliciesService } from '../organizations/policies.service.js';
import type { Policy, PolicyTarget } from '../organizations/policy.js';
import type { ApiKeyPolicy, OwnerKind } from './api-key.js';
import { stateCondition } from './api-key-conditions.js';

/** Few enough that judging them blocks the event loop for some milliseconds at most. */
const BATCH = 500;
const MOST_LISTED = 100;

const READ_ACTIVE_KEYS = `
  SELECT keys.id, keys.name, keys.user_id, keys.project_id, keys.owner_kind, keys.scopes, keys.allowed_ips, keys.allowed_models,
    keys.expires_at, keys.created_at, keys.is_unlimited, keys.budget_limit_cents, secrets.created_at AS secret_created_at
  FROM api_keys AS keys
  JOIN users AS owners ON owners.id = keys.user_id
  JOIN projects ON projects.id = keys.project_id
  JOIN organizations ON organizations.id = keys.organization_id
  JOIN api_key_secrets AS secrets ON secrets.api_key_id = keys.id AND secrets.retires_at IS NULL
  WHERE keys.deleted_at IS NULL AND keys.id > $2 AND ${stateCondition('active', () => '$3')}`;
const READ = {
  organization: `${READ_ACTIVE_KEYS} AND keys.organization_id = $1 ORDER BY keys.id LIMIT $4`,
  project: `${READ_ACTIVE_KEYS} AND keys.project_id = $1 ORDER BY keys.id LIMIT $4`,
};

interface ActiveKeyRow {
  readonly id: number;
  readonly name: string;
  readonly user_id: number;
  readonly project_id: number;
  readonly owner_kind: OwnerKind;
  readonly scopes: string[];
  readonly allowed_ips: string[];
  readonly allowed_models: string[];
  readonly expires_at: Date | null;
  readonly created_at: Date;
  readonly is_unlimited: boolean;
  readonly budget_limit_cents: ApiKeyPolicy['budgetLimitCents'];
  readonly secret_created_at: Date;
}

/** A key that verdicts would refuse, and the rules that it breaks. */
export interface RefusedKey {
  readonly id: number;
  readonly name: string;
  readonly userId: number;
  readonly projectId: number;
  readonly rules: readonly KeyRuleName[];
}

/** What a policy would do to the keys that are active now. */
export interface PolicyTrial {
  /** As it would be. */
  readonly policy: Policy;
  readonly wouldBeRefused: number;
  /** How many break each rule; of those that some break. */
  readonly brokenRules: readonly { readonly rule: KeyRuleName; readonly total: number }[];
  /** The first of them by id. */
  readonly apiKeys: readonly RefusedKey[];
}

/** Tries changes of policies without making them. */
@Injectable()
export class PolicyTrials {
  constructor(
    private readonly policies: PoliciesService,
    private readonly reports: ReportQueries,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /**
   * Which active keys the rules of the changed policy would refuse if they were enforced for all keys now.
   * @throws AppError as `PoliciesService.update`, and `permission.denied` for a caller who may not read the keys
   */
  async try(principal: Principal, target: PolicyTarget, changes: KeyRuleChanges): Promise<PolicyTrial> {
    const policy = await this.policies.changed(target, changes);
    requireIn(principal, policy, 'platform:api-keys:read', () => scopeNotFound(target.kind));
    const now = this.clock.now();
    const judge = compiledRules(policy.rules);
    const counts = new Map<KeyRuleName, number>();
    const apiKeys: RefusedKey[] = [];
    let wouldBeRefused = 0;
    for (let lastId = 0; ;) {
      const rows = await this.reports.query<ActiveKeyRow>(principal.userId, {
        text: READ[target.kind],
        values: [target.id, lastId, now, BATCH],
      });
      for (const row of rows) {
        const rules = judge(toRuledKey(row), now.getTime()).map(({ rule }) => rule);
        if (rules.length === 0) continue;
        wouldBeRefused += 1;
        for (const rule of rules) counts.set(rule, (counts.get(rule) ?? 0) + 1);
        if (apiKeys.length < MOST_LISTED) apiKeys.push(toRefusedKey(row, rules));
      }
      lastId = rows.at(-1)?.id ?? lastId;
      if (rows.length < BATCH) break;
    }
    const { organizationId, projectId } = policy;
    await this.events.observe('policy.tried', { organizationId, projectId, wouldBeRefused });
    const brokenRules = KEY_RULE_NAMES.flatMap((rule) => {
      const total = counts.get(rule);
      return total === undefined ? [] : [{ rule, total }];
    });
    return { policy, wouldBeRefused, brokenRules, apiKeys };
  }
}

function toRuledKey(row: ActiveKeyRow): RuledKey {
  return {
    name: row.name,
    scopes: row.scopes,
    allowedIps: row.allowed_ips,
    allowedModels: row.allowed_models,
    expiresAt: row.expires_at,
    createdAt: row.created_at,
    isUnlimited: row.is_unlimited,
    budgetLimitCents: row.budget_limit_cents,
    ownerKind: row.owner_kind,
    secretCreatedAt: row.secret_created_at,
  };
}

function toRefusedKey(row: ActiveKeyRow, rules: readonly KeyRuleName[]): RefusedKey {
  return { id: row.id, name: row.name, userId: row.user_id, projectId: row.project_id, rules };
}
