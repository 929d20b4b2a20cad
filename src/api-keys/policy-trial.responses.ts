import { ApiSchema } from '@nestjs/swagger';
import { ResponseField } from '../contract/fields.js';
import { COUNT, ID, TEXTS } from '../contract/wire-schemas.js';
import { PolicyResponse, toPolicyResponse } from '../organizations/policies.dto.js';
import type { Policy } from '../organizations/policy.js';
import type { PolicyTrial } from './policy-trials.service.js';

@ApiSchema({ name: 'KeyThatWouldBeRefused' })
export class RefusedKeyResponse {
  @ResponseField({ ...ID, description: 'Names the key.', example: 1 })
  id!: number;

  @ResponseField({ type: 'string', description: 'For people.', example: 'Billing worker' })
  name!: string;

  @ResponseField({ ...ID, description: 'The owner.', example: 1 })
  user_id!: number;

  @ResponseField({ ...ID, description: 'The project that it is in.', example: 1 })
  project_id!: number;

  @ResponseField({ ...TEXTS, description: 'The rules that it breaks.', example: ['max_ttl_days'] })
  rules!: readonly string[];
}

@ApiSchema({ name: 'BrokenKeyRule' })
export class BrokenRuleResponse {
  @ResponseField({ type: 'string', description: 'The rule.', example: 'max_ttl_days' })
  rule!: string;

  @ResponseField({ ...COUNT, description: 'How many keys break it.', example: 1 })
  total!: number;
}

/** A policy after a change, or as a change would make it. */
@ApiSchema({ name: 'KeyPolicyChange' })
export class PolicyChangeResponse extends PolicyResponse {
  @ResponseField({
    ...COUNT,
    required: false,
    description: 'With `dry_run` alone: how many keys that are active now break a rule of this policy.',
  })
  would_be_refused?: number;

  @ResponseField({
    type: () => [BrokenRuleResponse],
    required: false,
    description: 'With `dry_run` alone: how many of them break which rule.',
  })
  broken_rules?: BrokenRuleResponse[];

  @ResponseField({
    type: () => [RefusedKeyResponse],
    required: false,
    description: 'With `dry_run` alone: the first 100 of them, by id.',
  })
  api_keys?: RefusedKeyResponse[];
}

/** A change that was made, or tried. */
export function toPolicyChangeResponse(result: Policy | PolicyTrial): PolicyChangeResponse {
  if (!('policy' in result)) return toPolicyResponse(result);
  const { policy, wouldBeRefused, brokenRules, apiKeys } = result;
  return Object.assign(toPolicyResponse(policy), {
    would_be_refused: wouldBeRefused,
    broken_rules: brokenRules.map(({ rule, total }) => ({ rule, total })),
    api_keys: apiKeys.map(({ id, name, userId, projectId, rules }) => ({
      id,
      name,
      user_id: userId,
      project_id: projectId,
      rules,
    })),
  });
}
