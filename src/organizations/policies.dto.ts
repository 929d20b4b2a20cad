import { ApiSchema } from '@nestjs/swagger';
import { bareClass } from '../common/bare-class.js';
import {
  BooleanField,
  ChoiceField,
  IntegerField,
  ResponseField,
  TextField,
  TextListField,
  TimestampField,
} from '../contract/fields.js';
import { ID, openEnum, TEXTS, TIMESTAMP } from '../contract/wire-schemas.js';
import { KEY_RULE_NAMES, type KeyRule, type KeyRules, ruleOf } from './key-rules.js';
import type { KeyRuleChanges } from './policies.service.js';
import type { Policy } from './policy.js';

/*
 * The members of these classes that are rules are declared at the end of this file, from the table of rules.
 */

const Changes: new () => Omit<KeyRuleChanges, 'enforced_from'> & {
  readonly enforced_from?: Date | null;
} = bareClass();
const Shown = bareClass() as new () => KeyRules;

@ApiSchema({ name: 'KeyPolicyUpdate' })
export class UpdatePolicyDto extends Changes {}

export class PolicyUpdateQuery {
  @BooleanField({
    fromText: true,
    optional: true,
    description:
      'true: change nothing, and return which keys verdicts would refuse if these rules were enforced for all of them now. Needs `platform:api-keys:read` there as well.',
  })
  dry_run?: boolean;
}

/** The rules of a policy. */
@ApiSchema({ name: 'KeyRules' })
class KeyRulesResponse extends Shown {}

/** What a policy shows beside its rules. */
@ApiSchema({ name: 'KeyPolicy' })
export class PolicyResponse extends KeyRulesResponse {
  @ResponseField({ ...ID, description: 'The organization whose keys it binds.', example: 1 })
  organization_id!: number;

  @ResponseField({
    ...ID,
    nullable: true,
    description: 'The project whose keys it binds; null for those of the whole organization.',
    example: null,
  })
  project_id!: number | null;

  @ResponseField({
    type: () => KeyRulesResponse,
    nullable: true,
    description:
      'Of a project: the rules of its organization, which bind its keys as well; null where there are none.',
  })
  inherited!: KeyRules | null;

  @ResponseField({ ...TIMESTAMP, nullable: true, description: 'Null when nothing was ever set.' })
  updated_at!: string | null;
}

export function toKeyRuleChanges(body: UpdatePolicyDto): KeyRuleChanges {
  const { enforced_from: from } = body;
  const changes = Object.fromEntries(KEY_RULE_NAMES.map((name) => [name, body[name]]));
  return { ...changes, enforced_from: from instanceof Date ? from.toISOString() : from };
}

export function toPolicyResponse(policy: Policy): PolicyResponse {
  const { organizationId, projectId, rules, inherited, updatedAt } = policy;
  return {
    organization_id: organizationId,
    project_id: projectId,
    ...rules,
    inherited,
    updated_at: updatedAt?.toISOString() ?? null,
  };
}

function ruleField(rule: KeyRule): PropertyDecorator {
  const { description, example } = rule;
  const options = { description, example, optional: true, nullable: true };
  switch (rule.kind) {
    case 'integer':
      return IntegerField({ ...options, minimum: rule.minimum, maximum: rule.maximum });
    case 'text':
      return TextField({ ...options, minLength: 1, maxLength: rule.maxLength });
    case 'texts': {
      const { entryCheck } = rule;
      return TextListField({ ...options, ...(entryCheck === undefined ? {} : { entryCheck }) });
    }
    case 'choice':
      return ChoiceField({ ...options, choices: rule.choices });
    case 'boolean':
      return BooleanField(options);
    case 'timestamp':
      return TimestampField(options);
  }
}

function shownRule(rule: KeyRule): PropertyDecorator {
  const { description } = rule;
  return ResponseField({ ...schemaOf(rule), description, nullable: true });
}

function schemaOf(rule: KeyRule): object {
  switch (rule.kind) {
    case 'integer':
      return ID;
    case 'text':
      return { type: 'string' };
    case 'texts':
      return TEXTS;
    case 'choice':
      return openEnum(rule.choices, rule.description);
    case 'boolean':
      return { type: 'boolean' };
    case 'timestamp':
      return TIMESTAMP;
  }
}

for (const name of KEY_RULE_NAMES) {
  ruleField(ruleOf(name))(UpdatePolicyDto.prototype, name);
  shownRule(ruleOf(name))(KeyRulesResponse.prototype, name);
}
