import { isDeepStrictEqual } from 'node:util';
import { Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { AppError, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { nextVersion } from '../common/version.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { KEY_RULE_NAMES, type KeyRuleName, type KeyRules } from './key-rules.js';
import { contradictions, wideningErrors } from './key-rules.policy.js';
import { PolicyRows } from './policies.queries.js';
import type { Policy, PolicyTarget } from './policy.js';

/** The rules that a request wants changed; absent ones are `undefined`, cleared ones `null`. */
export type KeyRuleChanges = { readonly [Name in KeyRuleName]?: KeyRules[Name] | undefined };

/** What the keys of organizations and projects must obey. The guard has judged the caller. */
@Injectable()
export class PoliciesService {
  constructor(
    private readonly rows: PolicyRows,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `organization.not_found`, `project.not_found` */
  async get(target: PolicyTarget): Promise<Policy> {
    const policy = await this.rows.read(target);
    const { organizationId, projectId } = policy;
    await this.events.observe('policy.viewed', { organizationId, projectId });
    return policy;
  }

  /**
   * Changes the rules present.
   * @throws AppError `organization.not_found`, `project.not_found`, `policy.version_mismatch`, `validation.failed`
   */
  @Change()
  async update(
    _principal: Principal,
    target: PolicyTarget,
    changes: KeyRuleChanges,
    expectedVersions?: readonly number[],
  ): Promise<Policy> {
    const current = await this.rows.lock(target);
    if (expectedVersions?.includes(current.version) === false)
      throw new AppError(
        'policy.version_mismatch',
        'The policy has changed since it was read; read it again.',
      );
    const rules = merged(current, changes);
    const changed = KEY_RULE_NAMES.filter((name) => !isDeepStrictEqual(rules[name], current.rules[name]));
    const version = nextVersion(current.version);
    const policy = { ...current, rules, version, updatedAt: this.clock.now() };
    if (changed.length > 0) await this.rows.save(policy);
    const { organizationId, projectId } = current;
    await this.events.change('policy.updated', {
      organizationId,
      projectId,
      beforeValues: Object.fromEntries(changed.map((name) => [name, current.rules[name]])),
      afterValues: Object.fromEntries(changed.map((name) => [name, rules[name]])),
    });
    return changed.length > 0 ? policy : current;
  }

  /**
   * The policy as `update` would make it.
   * @throws AppError as `update`, which looks at versions as well
   */
  async changed(target: PolicyTarget, changes: KeyRuleChanges): Promise<Policy> {
    const current = await this.rows.read(target);
    return { ...current, rules: merged(current, changes) };
  }
}

/** @throws AppError `validation.failed` */
function merged({ rules: current, inherited }: Policy, changes: KeyRuleChanges): KeyRules {
  const present = Object.entries(changes).filter(([, value]) => value !== undefined);
  const rules = { ...current, ...(Object.fromEntries(present) as Partial<KeyRules>) };
  // What the organization has tightened since is no fault of a change that leaves it alone.
  const stated = present.map(([name]) => name);
  const widening = inherited === null ? [] : wideningErrors(inherited, rules);
  const errors = [...contradictions(rules), ...widening.filter(({ field }) => stated.includes(field))];
  if (errors.length > 0) throw validationFailed(errors);
  return rules;
}
