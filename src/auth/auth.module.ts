import { Module } from '@nestjs/common';
import { JwtModule } from '@nestjs/jwt';
import { PassportModule } from '@nestjs/passport';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AccessGuard } from './access.guard.js';
import { AccessRefusals } from './access-refusals.js';
import { AccessTokens } from './access-token.js';
import { AccessTokenAuthenticator } from './access-token-authenticator.js';
import { AccessTokenCache } from './access-token-cache.js';
import { AdminRecovery } from './admin-recovery.js';
import { CurrentPasswords } from './current-passwords.js';
import { DataPlaneAuthenticator } from './data-plane-authenticator.js';
import { FirstAdmin } from './first-admin.js';
import { AccessTokenGuard, JwtStrategy } from './jwt.strategy.js';
import { LoginFailures } from './login-failures.js';
import { LoginNames } from './login-names.js';
import { LoginService } from './login.service.js';
import { LoginThrottle } from './login-throttle.js';
import { OwnershipCheck } from './ownership-check.js';
import { PasswordHasher } from './password-hasher.js';
import { RefreshToken, Session } from './session.entity.js';
import { SessionEndingsSubscriber } from './session-endings.subscriber.js';
import { SessionPrincipals } from './session-principals.js';
import { SessionsController } from './sessions.controller.js';
import { SessionsService } from './sessions.service.js';
import { Role, User } from './user.entity.js';
import { UsersController } from './users.controller.js';
import { UsersReader } from './users.reader.js';
import { UsersService } from './users.service.js';

/** Who is calling and what they may do: users, logins, sessions, principals, the guard before every route. */
@Module({
  imports: [
    TypeOrmModule.forFeature([User, Role, Session, RefreshToken]),
    PassportModule,
    JwtModule.register({}),
  ],
  controllers: [SessionsController, UsersController],
  providers: [
    AccessGuard,
    AccessRefusals,
    AccessTokenAuthenticator,
    AccessTokenGuard,
    AccessTokenCache,
    AccessTokens,
    AdminRecovery,
    CurrentPasswords,
    DataPlaneAuthenticator,
    FirstAdmin,
    JwtStrategy,
    LoginFailures,
    LoginNames,
    LoginService,
    LoginThrottle,
    OwnershipCheck,
    PasswordHasher,
    SessionEndingsSubscriber,
    SessionPrincipals,
    SessionsService,
    UsersReader,
    UsersService,
  ],
  exports: [AccessGuard, AccessRefusals, AdminRecovery, FirstAdmin],
})
export class AuthModule {}
