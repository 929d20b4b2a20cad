import { ApiSchema } from '@nestjs/swagger';
import type { FieldError } from '../common/app-error.js';
import {
  BooleanField,
  ChoiceField,
  IdField,
  ResponseField,
  TextField,
  TextListField,
} from '../contract/fields.js';
import { CROSS_FIELD_ERRORS, type HasCrossFieldRules } from '../contract/input.pipe.js';
import { textCheck } from '../contract/input-checks.js';
import { EndsWithPagePart, PagePart } from '../contract/paging.js';
import { COUNT, ID, openEnum, TEXTS, TIMESTAMP } from '../contract/wire-schemas.js';
import { passwordErrors } from './password.policy.js';
import { PERMISSION_PATTERN } from '../auth/permission.policy.js';
import { normalizeUsername } from './username.js';
import type { ShownUser } from './users-reader.service.js';

const ROLES = ['admin', 'developer', 'auditor', 'service', 'user'] as const;
const permissionCheck = textCheck(1, 200, {
  regex: PERMISSION_PATTERN,
  rule: 'a permission such as platform:api-keys:read',
});
/** The rule for the name of a person. */
export const USERNAME = {
  minLength: 1,
  maxLength: 64,
  pattern: { regex: /^[A-Za-z0-9._@+-]+$/, rule: 'made of the characters A-Z a-z 0-9 . _ @ + -' },
  example: 'dana',
} as const;

export class UserIdParameter {
  @IdField('The id of a user.')
  id!: number;
}

@ApiSchema({ name: 'UserCreate' })
export class CreateUserDto implements HasCrossFieldRules {
  @TextField({ ...USERNAME, description: 'Kept in lower case; unique.' })
  username!: string;

  @TextField({ minLength: 12, maxLength: 72, isSecret: true, description: '12 characters to 72 bytes.' })
  password!: string;

  @ChoiceField({
    name: 'Role',
    choices: ROLES,
    optional: true,
    default: 'user',
    description: 'What the user may do by default.',
  })
  role: string = 'user';

  @TextListField({
    entryCheck: permissionCheck,
    optional: true,
    default: [],
    description: 'Beyond those of the role.',
  })
  permissions: string[] = [];

  [CROSS_FIELD_ERRORS](isBroken: (field: string) => boolean): readonly FieldError[] {
    const username = isBroken('username') ? undefined : normalizeUsername(this.username);
    return isBroken('password') ? [] : passwordErrors('password', this.password, username);
  }
}

@ApiSchema({ name: 'UserUpdate' })
export class UpdateUserDto {
  @ChoiceField({
    name: 'Role',
    choices: ROLES,
    optional: true,
    description: 'Replaces the role.',
  })
  role?: string;

  @TextListField({
    entryCheck: permissionCheck,
    optional: true,
    description: 'Replaces the permissions beyond those of the role.',
  })
  permissions?: string[];

  @BooleanField({
    optional: true,
    description: 'A disabled user cannot log in; its sessions end and its keys are refused.',
  })
  is_active?: boolean;
}

@ApiSchema({ name: 'PasswordUpdate' })
export class SetPasswordDto implements HasCrossFieldRules {
  @TextField({
    minLength: 1,
    maxLength: 256,
    isSecret: true,
    optional: true,
    description: 'Needed to change one’s own password.',
  })
  current_password?: string;

  @TextField({ minLength: 12, maxLength: 72, isSecret: true, description: '12 characters to 72 bytes.' })
  new_password!: string;

  [CROSS_FIELD_ERRORS](isBroken: (field: string) => boolean): readonly FieldError[] {
    return isBroken('new_password') ? [] : passwordErrors('new_password', this.new_password);
  }
}

@ApiSchema({ name: 'User' })
export class UserResponse {
  @ResponseField({ ...ID, description: 'Names the user.', example: 1 })
  id!: number;

  @ResponseField({ type: 'string', description: 'In lower case.', example: 'dana' })
  username!: string;

  @ResponseField({ ...openEnum(ROLES, 'What the user may do by default.') })
  role!: string;

  @ResponseField({ ...TEXTS, description: 'Beyond those of the role.' })
  permissions!: string[];

  @ResponseField({ type: 'boolean', description: 'A disabled user cannot log in.' })
  is_active!: boolean;

  @ResponseField({ ...TIMESTAMP, description: 'When the user was created.' })
  created_at!: string;

  @ResponseField({ ...TIMESTAMP, description: 'When the user was last changed.' })
  updated_at!: string;
}

@EndsWithPagePart()
@ApiSchema({ name: 'UserList' })
export class UserListResponse extends PagePart {
  @ResponseField({ type: () => [UserResponse], description: 'A page of users, the oldest first.' })
  users!: UserResponse[];

  @ResponseField({ ...COUNT, description: 'How many users there are in all.' })
  total!: number;
}

export function toUserResponse(user: ShownUser): UserResponse {
  return {
    id: user.id,
    username: user.username,
    role: user.role,
    permissions: user.permissions,
    is_active: user.isActive,
    created_at: user.createdAt.toISOString(),
    updated_at: user.updatedAt.toISOString(),
  };
}
