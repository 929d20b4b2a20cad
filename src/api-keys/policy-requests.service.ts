import { Injectable } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import type { Principal } from '../auth/principal.js';
import { entityTag } from '../contract/request-headers.js';
import {
  type PolicyResponse,
  type PolicyUpdateQuery,
  toKeyRuleChanges,
  toPolicyResponse,
  type UpdatePolicyDto,
} from '../organizations/policies.dto.js';
import { PoliciesService } from '../organizations/policies.service.js';
import type { PolicyTarget } from '../organizations/policy.js';
import { type PolicyChangeResponse, toPolicyChangeResponse } from './policy-trial.responses.js';
import { PolicyTrials } from './policy-trials.service.js';

/** What a request says of the policy that it changes. */
interface PolicyUpdate {
  readonly query: PolicyUpdateQuery;
  readonly body: UpdatePolicyDto;
  readonly expectedVersions: readonly number[] | undefined;
}

/** Only a trial reads keys. */
export function isTrial({ dry_run: isTried }: Readonly<Record<string, unknown>>): boolean {
  return isTried === 'true';
}

/** Requests about the policy of an organization or of a project, which differ in whose it is alone. */
@Injectable()
export class PolicyRequests {
  constructor(
    private readonly policies: PoliciesService,
    private readonly trials: PolicyTrials,
  ) {}

  async get(reply: FastifyReply, target: PolicyTarget): Promise<PolicyResponse> {
    const policy = await this.policies.get(target);
    void reply.header('etag', entityTag(policy.version));
    return toPolicyResponse(policy);
  }

  async update(
    reply: FastifyReply,
    principal: Principal,
    target: PolicyTarget,
    { query, body, expectedVersions }: PolicyUpdate,
  ): Promise<PolicyChangeResponse> {
    const changes = toKeyRuleChanges(body);
    if (query.dry_run === true)
      return toPolicyChangeResponse(await this.trials.try(principal, target, changes));
    const policy = await this.policies.update(principal, target, changes, expectedVersions);
    void reply.header('etag', entityTag(policy.version));
    return toPolicyChangeResponse(policy);
  }
}
