import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AdminRecovery } from './admin-recovery.service.js';
import { CurrentPasswords } from './current-passwords.service.js';
import { FirstAdmin } from './first-admin.service.js';
import { LoginFailures } from './login-failures.service.js';
import { LoginNames } from './login-names.service.js';
import { LoginThrottle } from './login-throttle.service.js';
import { PasswordAttempts } from './password-attempts.service.js';
import { PasswordHasher } from './password-hasher.service.js';
import { Role, User } from './user.entity.js';
import { NewUsers } from './new-users.service.js';
import { UserRows } from './user-rows.queries.js';
import { UsersReader } from './users-reader.service.js';
import { UsersController } from './users.controller.js';
import { UsersService } from './users.service.js';

/** People and programs that call the service, their passwords, and how often a wrong one may be tried. */
@Module({
  imports: [TypeOrmModule.forFeature([User, Role])],
  controllers: [UsersController],
  providers: [
    AdminRecovery,
    CurrentPasswords,
    FirstAdmin,
    LoginFailures,
    LoginNames,
    LoginThrottle,
    NewUsers,
    PasswordAttempts,
    PasswordHasher,
    UserRows,
    UsersReader,
    UsersService,
  ],
  exports: [AdminRecovery, FirstAdmin, LoginFailures, NewUsers, PasswordAttempts, PasswordHasher],
})
export class UsersModule {}
