import { Injectable } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { Config } from '../config/config.js';

/** What every access token of this service says of itself. */
export const ACCESS_TOKEN = {
  algorithm: 'HS256',
  type: 'JWT',
  issuer: 'latchkey',
  audience: 'latchkey-api',
} as const;

/** The claims we read: user, session, expiry in Unix seconds. Permissions are never among them. */
export interface AccessTokenClaims {
  readonly sub: string;
  readonly sid: string;
  readonly exp: number;
}

/** Signs access tokens. */
@Injectable()
export class AccessTokens {
  constructor(
    private readonly jwt: JwtService,
    private readonly config: Config,
  ) {}

  sign(userId: number, sessionId: string): Promise<string> {
    return this.jwt.signAsync(
      { sid: sessionId },
      {
        subject: String(userId),
        secret: this.config.jwtSecrets[0].reveal(),
        algorithm: ACCESS_TOKEN.algorithm,
        issuer: ACCESS_TOKEN.issuer,
        audience: ACCESS_TOKEN.audience,
        expiresIn: this.config.accessTokenTtlSeconds,
      },
    );
  }
}
