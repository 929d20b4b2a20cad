import { ApiSchema } from '@nestjs/swagger';
import type { FieldError } from '../common/app-error.js';
import { bareClass } from '../common/bare-class.js';
import { IdField, IntegerField, TextField } from '../contract/fields.js';
import { CROSS_FIELD_ERRORS, type HasCrossFieldRules } from '../contract/input.pipe.js';
import { type ApiKeyChanges, BLANK_POLICY } from './api-key.js';
import type { ApiKeyField } from './api-key-field.js';
import { inputField } from './api-key-field.decorators.js';
import {
  type ApiKeyFields,
  FIELD_NAMES,
  type FieldName,
  fieldOf,
  fieldsWithRestriction,
  type FieldValue,
  type NamesWith,
  wireNameOf,
} from './api-key.fields.js';
import { mergePolicy } from './api-key.policy.js';

type Sent<Name extends FieldName> = { [One in Name as ApiKeyFields[One]['wireName']]: FieldValue<One> };
type RequiredName = NamesWith<'onCreate', 'required'>;
type CreateFields = Sent<RequiredName> &
  Partial<Sent<Exclude<FieldName, RequiredName | NamesWith<'onCreate', 'refused'>>>>;

/*
 * The members of these classes are declared at the end of this file, from the table of key fields. Defaults of a new key
 * are those of the policy, not of a class.
 */

/** What a create and an update may both say. */
const Common = bareClass();
const Create = Common as new () => CreateFields;
const Update: new () => Partial<Sent<FieldName>> = Common;

@ApiSchema({ name: 'ApiKeyCreate' })
export class CreateApiKeyDto extends Create implements HasCrossFieldRules {
  declare project_id?: number;
  declare service_account_id?: number;

  /** What the service would say of the fields together. */
  [CROSS_FIELD_ERRORS](isBroken: (field: string) => boolean, now: Date): readonly FieldError[] {
    const isBudgetBroken = fieldsWithRestriction('budget').some((name) => isBroken(wireNameOf(name)));
    const isJudged = (name: FieldName) =>
      fieldOf(name).restriction === 'budget' ? !isBudgetBroken : !isBroken(wireNameOf(name));
    const merged = mergePolicy(BLANK_POLICY, changesIn(this, FIELD_NAMES.filter(isJudged)), now);
    return merged.kind === 'invalid' ? merged.errors : [];
  }
}

@ApiSchema({ name: 'ApiKeyUpdate' })
export class UpdateApiKeyDto extends Update {}

@ApiSchema({ name: 'ApiKeyRegenerate' })
export class RegenerateApiKeyDto {
  @IntegerField({
    minimum: 0,
    maximum: 604_800,
    optional: true,
    default: 0,
    description: 'Seconds the old secret stays valid; 0 ends all earlier secrets at once.',
  })
  grace_period_seconds: number = 0;
}

export class ApiKeyIdParameter {
  @IdField('The id of an API key.')
  id!: number;
}

export class ApiKeySecretParameters extends ApiKeyIdParameter {
  @TextField({
    minLength: 16,
    maxLength: 16,
    pattern: { regex: /^[0-9a-f]+$/, rule: 'made of hexadecimal digits' },
    description: 'The id of one of the key’s `secrets`.',
    example: '9f86d081884c7d65',
  })
  secret_id!: string;
}

/** The fields of a create or an update as the service takes them. */
export function toApiKeyChanges(body: CreateApiKeyDto | UpdateApiKeyDto): ApiKeyChanges {
  return changesIn(body, FIELD_NAMES);
}

function changesIn(body: UpdateApiKeyDto, names: readonly FieldName[]): ApiKeyChanges {
  return Object.fromEntries(names.map((name) => [name, body[wireNameOf(name)]]));
}

function declare(
  dto: { readonly prototype: object },
  fields: readonly ApiKeyField[],
  isOptional = true,
): void {
  for (const field of fields) inputField(field, isOptional)(dto.prototype, field.wireName);
}

const FIELDS = FIELD_NAMES.map(fieldOf);
// What both inherit comes first: the document takes over what is declared by then.
declare(
  Common,
  FIELDS.filter(({ onCreate }) => onCreate === undefined),
);
declare(
  CreateApiKeyDto,
  FIELDS.filter(({ onCreate }) => onCreate === 'required'),
  false,
);
IntegerField({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  optional: true,
  description:
    'The project that the key is to be in. Default: the default project, or for a request made with an API key the project of that key.',
  example: 1,
})(CreateApiKeyDto.prototype, 'project_id');
IntegerField({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  optional: true,
  description: 'The service account that is to own the key, in its project. Default: the caller owns it.',
})(CreateApiKeyDto.prototype, 'service_account_id');
declare(
  UpdateApiKeyDto,
  FIELDS.filter(({ onCreate }) => onCreate !== undefined),
);
