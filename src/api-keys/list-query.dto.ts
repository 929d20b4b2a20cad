import { BooleanField, ChoiceField, IntegerField, TextField, TimestampField } from '../contract/fields.js';
import { PageQuery } from '../contract/paging.js';
import { INACTIVE_REASONS, type InactiveReason } from './api-key.js';
import { API_KEY_SORTS, type ApiKeyFilter, type ApiKeySort, NEWEST_FIRST } from './api-key-list.js';
import { API_KEY_STATES, type ApiKeyState } from './api-key.policy.js';

export class ListApiKeysQuery extends PageQuery {
  @IntegerField({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    optional: true,
    fromText: true,
    description: 'Only keys of this user.',
  })
  user_id?: number;

  @IntegerField({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    optional: true,
    fromText: true,
    description: 'Only keys in this organization.',
  })
  organization_id?: number;

  @IntegerField({
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    optional: true,
    fromText: true,
    description: 'Only keys in this project.',
  })
  project_id?: number;

  @BooleanField({
    optional: true,
    fromText: true,
    description:
      'The switch alone: an expired key is among the active ones. For what a key is worth, use `state`.',
  })
  is_active?: boolean;

  @ChoiceField({
    choices: INACTIVE_REASONS,
    optional: true,
    description: 'Only keys that were deactivated for this reason, and not activated since.',
  })
  inactive_reason?: InactiveReason;

  @ChoiceField({ choices: API_KEY_STATES, optional: true, description: 'Only keys in this state now.' })
  state?: ApiKeyState;

  @TimestampField({
    optional: true,
    description: 'Only keys that expire before this moment, or have.',
    example: '2030-01-31T12:00:00Z',
  })
  expires_before?: Date;

  @ChoiceField({
    choices: API_KEY_SORTS,
    optional: true,
    default: NEWEST_FIRST,
    description:
      'With `-`, the latest first. A key that never expires comes after all that do, one that was never used before all that were.',
  })
  sort: ApiKeySort = NEWEST_FIRST;

  @TextField({
    maxLength: 500,
    optional: true,
    description:
      'A part of the name or the description. Case does not count, nor how a character is encoded: Unicode NFKC and full case folding.',
  })
  search?: string;

  @TextField({ minLength: 1, maxLength: 200, optional: true, description: 'Only keys with this tag.' })
  tag?: string;
}

/** What a list is narrowed to. */
export function toApiKeyFilter(query: ListApiKeysQuery): ApiKeyFilter {
  const {
    user_id,
    organization_id,
    project_id,
    is_active,
    inactive_reason,
    state,
    expires_before,
    search,
    tag,
  } = query;
  return {
    userId: user_id,
    organizationId: organization_id,
    projectId: project_id,
    isActive: is_active,
    inactiveReason: inactive_reason,
    state,
    expiresBefore: expires_before,
    search,
    tag,
  };
}
