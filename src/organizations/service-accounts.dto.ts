import { ApiSchema } from '@nestjs/swagger';
import { PERMISSION_PATTERN } from '../auth/permission.policy.js';
import { BooleanField, IdField, ResponseField, TextField, TextListField } from '../contract/fields.js';
import { textCheck } from '../contract/input-checks.js';
import { EndsWithPagePart, PagePart, type PageRequest, shownPage } from '../contract/paging.js';
import { COUNT, ID, TEXTS, TIMESTAMP } from '../contract/wire-schemas.js';
import type { Page } from './scope-lists.queries.js';
import type { ServiceAccount } from './service-account.js';

const NAME = {
  minLength: 1,
  maxLength: 64,
  pattern: { regex: /^[a-z0-9._-]+$/, rule: 'made of the characters a-z 0-9 . _ -' },
  description: 'Unique in the project.',
  example: 'chat-backend',
} as const;
const PERMISSIONS = {
  entryCheck: textCheck(1, 200, {
    regex: PERMISSION_PATTERN,
    rule: 'a permission such as platform:api-keys:read',
  }),
  optional: true,
  description:
    'What it may do in its project; `platform:api-keys:verify` and `platform:usage:write` hold in its whole organization.',
} as const;

export class ServiceAccountParameters {
  @IdField('The id of a project.')
  id!: number;

  @IdField('The id of a service account.')
  service_account_id!: number;
}

@ApiSchema({ name: 'ServiceAccountCreate' })
export class CreateServiceAccountDto {
  @TextField(NAME)
  name!: string;

  @TextListField({ ...PERMISSIONS, default: [] })
  permissions: string[] = [];
}

@ApiSchema({ name: 'ServiceAccountUpdate' })
export class UpdateServiceAccountDto {
  @TextField({ ...NAME, optional: true })
  name?: string;

  @TextListField(PERMISSIONS)
  permissions?: string[];

  @BooleanField({ optional: true, description: '`false`: its keys are refused, until it is `true` again.' })
  is_active?: boolean;
}

@ApiSchema({ name: 'ServiceAccount' })
export class ServiceAccountResponse {
  @ResponseField({ ...ID, description: 'Names the account: the `user_id` of its keys.', example: 3 })
  id!: number;

  @ResponseField({ type: 'string', description: 'Unique in the project.', example: 'chat-backend' })
  name!: string;

  @ResponseField({ ...TEXTS, description: 'What it may do in its project.' })
  permissions!: string[];

  @ResponseField({ type: 'boolean', description: 'The keys of a disabled account are refused.' })
  is_active!: boolean;

  @ResponseField({ ...ID, description: 'The organization.', example: 1 })
  organization_id!: number;

  @ResponseField({ ...ID, description: 'The project.', example: 1 })
  project_id!: number;

  @ResponseField({ ...TIMESTAMP, description: 'When it was created.' })
  created_at!: string;

  @ResponseField({ ...TIMESTAMP, description: 'When it was last changed.' })
  updated_at!: string;
}

@EndsWithPagePart()
@ApiSchema({ name: 'ServiceAccountList' })
export class ServiceAccountListResponse extends PagePart {
  @ResponseField({ type: () => [ServiceAccountResponse], description: 'A page, the oldest first.' })
  service_accounts!: ServiceAccountResponse[];

  @ResponseField({ ...COUNT, description: 'How many there are in all.' })
  total!: number;
}

export function toServiceAccountResponse(account: ServiceAccount): ServiceAccountResponse {
  return {
    id: account.id,
    name: account.name,
    permissions: account.permissions,
    is_active: account.isActive,
    organization_id: account.organizationId,
    project_id: account.projectId,
    created_at: account.createdAt.toISOString(),
    updated_at: account.updatedAt.toISOString(),
  };
}

export function toServiceAccountListResponse(
  asked: PageRequest,
  { rows, total, nextCursor }: Page<ServiceAccount>,
): ServiceAccountListResponse {
  const service_accounts = rows.map(toServiceAccountResponse);
  return { service_accounts, total, page: shownPage(asked), size: asked.size, next_cursor: nextCursor };
}
