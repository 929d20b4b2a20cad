import { type DynamicModule, Global, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ApiKeyCredentials } from './api-keys/api-key-credentials.service.js';
import { ApiKeyLineage } from './api-keys/api-key-lineage.service.js';
import { ApiKeysModule } from './api-keys/api-keys.module.js';
import { ApiKeysReader } from './api-keys/api-keys-reader.service.js';
import { AuditModule } from './audit/audit.module.js';
import { AccessGuard } from './auth/access.guard.js';
import { AccessRefusals } from './auth/access-refusals.service.js';
import { ApiKeyAuthenticator } from './auth/api-key-authenticator.js';
import { ApiKeyOwners } from './auth/api-key-owners.js';
import { AuthModule } from './auth/auth.module.js';
import { KeyBounds } from './auth/key-bounds.js';
import type { Clock } from './common/clock.js';
import { Redactor } from './common/redactor.js';
import type { Config } from './config/config.js';
import { ConfigModule } from './config/config.module.js';
import { ChangeFeedModule } from './change-feed/change-feed.module.js';
import { DatabaseModule } from './database/database.module.js';
import { JobsModule } from './jobs/jobs.module.js';
import { EventsModule } from './events/events.module.js';
import { HttpModule } from './http/http.module.js';
import { ErrorObserver } from './http/problem.filter.js';
import { RouteTable } from './contract/route-table.service.js';
import { ObservabilityModule } from './observability/observability.module.js';
import { RateLimitsModule } from './rate-limits/rate-limits.module.js';
import { OrganizationsModule } from './organizations/organizations.module.js';
import { HoldsModule } from './holds/holds.module.js';
import { ReferenceModule } from './reference/reference.module.js';
import { SessionsModule } from './sessions/sessions.module.js';
import { UsageModule } from './usage/usage.module.js';
import { UsersModule } from './users/users.module.js';
import { VerificationModule } from './verification/verification.module.js';

/** Binds the ports of lower modules to the modules that implement them. */
@Global()
@Module({
  imports: [ApiKeysModule, AuthModule],
  providers: [
    { provide: ApiKeyAuthenticator, useExisting: ApiKeyCredentials },
    { provide: ApiKeyOwners, useExisting: ApiKeysReader },
    { provide: KeyBounds, useExisting: ApiKeyLineage },
    { provide: ErrorObserver, useExisting: AccessRefusals },
    { provide: APP_GUARD, useExisting: AccessGuard },
  ],
  exports: [ApiKeyAuthenticator, ApiKeyOwners, ErrorObserver, KeyBounds],
})
class Wiring {}

/** What `AppModule.forRoot` may be given beside what it needs. */
interface AppOptions {
  readonly clock?: Clock | undefined;
  /** False where the application is only described, and no database is there. */
  readonly isConnected?: boolean;
}

/** The whole service. The only file, beside those that start it, that imports every module. */
@Module({})
export class AppModule {
  static forRoot(
    config: Config,
    routes: RouteTable,
    redactor: Redactor,
    { clock, isConnected }: AppOptions = {},
  ): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot(config, redactor, clock),
        HttpModule.forRoot(routes),
        DatabaseModule.forRoot(isConnected),
        JobsModule,
        ChangeFeedModule,
        ObservabilityModule,
        EventsModule,
        AuthModule,
        UsersModule,
        SessionsModule,
        OrganizationsModule,
        ApiKeysModule,
        AuditModule,
        RateLimitsModule,
        UsageModule,
        HoldsModule,
        VerificationModule,
        ReferenceModule,
        Wiring,
      ],
    };
  }

  /** What the command line needs: a command is no instance that verifies, meters or counts in rate limits. */
  static forCommandLine(config: Config): DynamicModule {
    const redactor = new Redactor(config.apiKeyPrefixes);
    return {
      module: AppModule,
      imports: [
        ConfigModule.forRoot(config, redactor),
        HttpModule.forRoot(new RouteTable()),
        DatabaseModule.forRoot(),
        JobsModule,
        ChangeFeedModule,
        ObservabilityModule,
        EventsModule,
        AuthModule,
        UsersModule,
        SessionsModule,
        OrganizationsModule,
        ApiKeysModule,
        AuditModule,
        Wiring,
      ],
    };
  }
}
