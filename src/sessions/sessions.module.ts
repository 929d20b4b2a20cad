import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { UsersModule } from '../users/users.module.js';
import { LoginService } from './login.service.js';
import { SessionEndingsSubscriber } from './session-endings.subscriber.js';
import { RefreshToken, Session } from './session.entity.js';
import { SessionsController } from './sessions.controller.js';
import { SessionsService } from './sessions.service.js';

/** Logins: a password becomes a session, which lives by rotating refresh tokens until it ends. */
@Module({
  imports: [AuthModule, UsersModule, TypeOrmModule.forFeature([Session, RefreshToken])],
  controllers: [SessionsController],
  providers: [LoginService, SessionEndingsSubscriber, SessionsService],
})
export class SessionsModule {}
