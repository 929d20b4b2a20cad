import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { PassportModule } from '@nestjs/passport';
import { AccessGuard } from './access.guard.js';
import { AccessRefusals } from './access-refusals.service.js';
import { AccessTokens } from './access-token.service.js';
import { AccessTokenAuthenticator } from './access-token-authenticator.service.js';
import { Authenticator } from './authenticator.service.js';
import { AccessTokenGuard, JwtStrategy } from './jwt.strategy.js';
import { OwnershipCheck } from './ownership-check.service.js';
import { ScopeCheck } from './scope-check.service.js';
import { SessionPrincipals } from './session-principals.queries.js';

/** Who is calling and what they may do: principals, permissions, access tokens, the guard before every route. */
@Module({
  imports: [PassportModule, JwtModule.register({})],
  providers: [
    AccessGuard,
    AccessRefusals,
    AccessTokenAuthenticator,
    AccessTokenGuard,
    AccessTokens,
    Authenticator,
    JwtStrategy,
    OwnershipCheck,
    ScopeCheck,
    SessionPrincipals,
  ],
  exports: [AccessGuard, AccessRefusals, AccessTokens, ScopeCheck],
})
export class AuthModule {}
