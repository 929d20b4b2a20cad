import { ApiSchema } from '@nestjs/swagger';
import { ResponseField, TextField } from '../contract/fields.js';
import { COUNT, ID, TEXTS } from '../contract/wire-schemas.js';
import type { IssuedTokens } from './login.service.js';
import type { Principal } from '../auth/principal.js';

@ApiSchema({ name: 'LoginRequest' })
export class LoginDto {
  @TextField({
    minLength: 1,
    maxLength: 256,
    description: 'Case does not count.',
    example: 'admin',
    areSecretsAllowed: true,
  })
  username!: string;

  @TextField({ minLength: 1, maxLength: 256, isSecret: true, description: 'The password of the user.' })
  password!: string;
}

@ApiSchema({ name: 'RefreshRequest' })
export class RefreshDto {
  @TextField({
    minLength: 1,
    maxLength: 256,
    isSecret: true,
    description: 'The newest refresh token of the session.',
  })
  refresh_token!: string;
}

@ApiSchema({ name: 'Tokens' })
export class TokensResponse {
  @ResponseField({ type: 'string', description: 'Sent as `Authorization: Bearer …`.' })
  access_token!: string;

  @ResponseField({ type: 'string', description: 'Always `Bearer`.', example: 'Bearer' })
  token_type!: 'Bearer';

  @ResponseField({ ...COUNT, description: 'Seconds until the access token expires.', example: 900 })
  expires_in!: number;

  @ResponseField({
    type: 'string',
    description: 'Exchanged once for new tokens; using it twice ends the session.',
  })
  refresh_token!: string;
}

@ApiSchema({ name: 'ScopedPermissions' })
class ScopedPermissionsResponse {
  @ResponseField({ ...ID, description: 'The organization.', example: 1 })
  organization_id!: number;

  @ResponseField({ ...ID, nullable: true, description: 'The project; null for the whole organization.' })
  project_id!: number | null;

  @ResponseField({ ...TEXTS, description: 'What the credential may do there.' })
  permissions!: string[];
}

@ApiSchema({ name: 'Principal' })
export class PrincipalResponse {
  @ResponseField({ ...ID, description: 'The user; with an API key, its owner.', example: 1 })
  id!: number;

  @ResponseField({ type: 'string', description: 'The name of the user.', example: 'admin' })
  username!: string;

  @ResponseField({ type: 'string', description: 'The role of the user.', example: 'admin' })
  role!: string;

  @ResponseField({
    ...TEXTS,
    description: 'What this credential may do now, everywhere.',
    example: ['platform:*'],
  })
  permissions!: string[];

  @ResponseField({
    type: () => [ScopedPermissionsResponse],
    description: 'What it may do beyond that in organizations and projects.',
  })
  scoped_permissions!: ScopedPermissionsResponse[];
}

export function toTokensResponse(tokens: IssuedTokens): TokensResponse {
  return {
    access_token: tokens.accessToken.reveal(),
    token_type: 'Bearer',
    expires_in: tokens.expiresInSeconds,
    refresh_token: tokens.refreshToken.reveal(),
  };
}

export function toPrincipalResponse(principal: Principal): PrincipalResponse {
  const { userId, username, role, permissions, scoped } = principal;
  return {
    id: userId,
    username,
    role,
    permissions: [...new Set(permissions)],
    scoped_permissions: scoped.map((held) => ({
      organization_id: held.organizationId,
      project_id: held.projectId,
      permissions: [...new Set(held.permissions)],
    })),
  };
}
