import { ApiSchema } from '@nestjs/swagger';
import type { FieldError } from '../common/app-error.js';
import { IntegerField } from '../contract/fields.js';
import { CROSS_FIELD_ERRORS, type HasCrossFieldRules } from '../contract/input.pipe.js';
import { type TransferRequest, transferErrors } from './transfer.policy.js';

const OPTIONAL_ID = { minimum: 1, maximum: Number.MAX_SAFE_INTEGER, optional: true } as const;

@ApiSchema({ name: 'ApiKeyTransfer' })
export class TransferApiKeyDto implements HasCrossFieldRules {
  @IntegerField({
    ...OPTIONAL_ID,
    description: 'The person who gets the key: a member there, or in the default organization any user.',
    example: 2,
  })
  user_id?: number;

  @IntegerField({
    ...OPTIONAL_ID,
    description: 'The service account that gets the key, instead of a person.',
  })
  service_account_id?: number;

  @IntegerField({
    ...OPTIONAL_ID,
    description:
      'Where the key is to be. Default: where it is, or with a service account in the project of that.',
    example: 1,
  })
  project_id?: number;

  [CROSS_FIELD_ERRORS](isBroken: (field: string) => boolean): readonly FieldError[] {
    return isBroken('user_id') || isBroken('service_account_id')
      ? []
      : transferErrors(toTransferRequest(this));
  }
}

/** The body as the service takes it. */
export function toTransferRequest(body: TransferApiKeyDto): TransferRequest {
  return { userId: body.user_id, serviceAccountId: body.service_account_id, projectId: body.project_id };
}
