import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import { type ExecutionContext, Injectable } from '@nestjs/common';
import { AuthGuard, PassportStrategy } from '@nestjs/passport';
import type { FastifyRequest } from 'fastify';
import { ExtractJwt, Strategy } from 'passport-jwt';
import { AppError } from '../common/app-error.js';
import { isDependencyFailure } from '../common/dependency-failure.js';
import { Config } from '../config/config.js';
import { ACCESS_TOKEN, type AccessTokenClaims } from './access-token.service.js';
import type { Principal } from './principal.js';
import { SessionPrincipals } from './session-principals.queries.js';

/** Verifies an access token: one pinned algorithm, our issuer and audience, an expiry, and a session that still lives. */
@Injectable()
export class JwtStrategy extends PassportStrategy(Strategy, 'jwt') {
  constructor(
    config: Config,
    private readonly principals: SessionPrincipals,
  ) {
    // Given as text, jsonwebtoken would try to read a public key from it at every request. Its types know no key objects.
    const keys = config.jwtSecrets.map((secret) => createSecretKey(secret.reveal(), 'utf8'));
    super({
      jwtFromRequest: ExtractJwt.fromAuthHeaderAsBearerToken(),
      secretOrKeyProvider: (
        _request: unknown,
        token: string,
        done: (error: Error | null, key?: Buffer) => void,
      ) => {
        if (hasExpectedHeader(token)) done(null, signingKeyOf(token, keys) as unknown as Buffer);
        else done(new AppError('auth.credential_invalid', 'The access token is not valid.'));
      },
      algorithms: [ACCESS_TOKEN.algorithm],
      issuer: ACCESS_TOKEN.issuer,
      audience: ACCESS_TOKEN.audience,
    });
  }

  async validate(claims: Partial<AccessTokenClaims>): Promise<Principal | false> {
    const { sub, sid, exp } = claims;
    if (typeof exp !== 'number' || typeof sid !== 'string' || typeof sub !== 'string') return false;
    return (await this.principals.find(sid, sub)) ?? false;
  }
}

/** Runs the passport strategy and answers its principal, or our own errors. */
@Injectable()
export class AccessTokenGuard extends AuthGuard('jwt') {
  async authenticate(context: ExecutionContext): Promise<Principal> {
    await this.canActivate(context);
    return context.switchToHttp().getRequest<FastifyRequest & { user: Principal }>().user;
  }

  override handleRequest<User>(error: unknown, user: User | false): User {
    if (error instanceof AppError || isDependencyFailure(error)) throw error;
    if (error instanceof Error) throw error;
    if (user === false || user === undefined || user === null) {
      throw new AppError(
        'auth.credential_invalid',
        'The access token is not valid, has expired or was ended.',
      );
    }
    return user;
  }
}

/** The key that a token was signed with; any, where it was none of them. No `kid` says which: a token names no keys here. */
function signingKeyOf(token: string, keys: readonly KeyObject[]): KeyObject | undefined {
  const end = token.lastIndexOf('.');
  const signature = Buffer.from(token.slice(end + 1), 'base64url');
  const isSignedWith = (key: KeyObject) => {
    const expected = createHmac('sha256', key).update(token.slice(0, end)).digest();
    return expected.length === signature.length && timingSafeEqual(expected, signature);
  };
  return keys.length > 1 ? (keys.find(isSignedWith) ?? keys[0]) : keys[0];
}

/** Exactly the header we sign: no `kid`, `jku`, `x5u` or `crit` is ever followed or ignored. */
function hasExpectedHeader(token: string): boolean {
  try {
    const header: unknown = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString('utf8'));
    if (typeof header !== 'object' || header === null) return false;
    const { alg, typ, ...others } = header as Record<string, unknown>;
    return alg === ACCESS_TOKEN.algorithm && typ === ACCESS_TOKEN.type && Object.keys(others).length === 0;
  } catch {
    return false;
  }
}
