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
    description: 'What this credential may do now.',
    example: ['platform:*'],
  })
  permissions!: string[];
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
  const { userId, username, role, permissions } = principal;
  return { id: userId, username, role, permissions: [...new Set(permissions)] };
}
