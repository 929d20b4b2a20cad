import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { BudgetsModule } from '../budgets/budgets.module.js';
import { ApiKey, ApiKeySecret } from './api-key.entity.js';
import { ApiKeyCounts } from './api-key-counts.js';
import { ApiKeyCredentials } from './api-key-credentials.js';
import { ApiKeyLineage } from './api-key-lineage.js';
import { ApiKeySearch } from './api-key.search.js';
import { ApiKeySecrets } from './api-key-secrets.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysReader } from './api-keys.reader.js';
import { ApiKeysService } from './api-keys.service.js';
import { ApiKeysStore } from './api-keys.store.js';
import { Idempotency } from './idempotency.js';
import { LastUse } from './last-use.js';
import { LockedApiKeys } from './locked-api-keys.js';
import { OwnerDeletionSubscriber } from './owner-deletion.subscriber.js';
import { Replays } from './replays.js';
import { SearchTexts } from './search-texts.js';
import { SecretDigests } from './secret-digests.js';
import { SecretsController } from './secrets.controller.js';
import { SecretsService } from './secrets.service.js';
import { SnapshotLoader } from './snapshot-loader.js';
import { Snapshots } from './snapshots.js';
import { StoredKeyChecks } from './stored-key-checks.js';

/** API keys: their policies, their secrets, and what each of them is worth as a credential. */
@Module({
  imports: [BudgetsModule, TypeOrmModule.forFeature([ApiKey, ApiKeySecret])],
  controllers: [ApiKeysController, SecretsController],
  providers: [
    ApiKeyCounts,
    ApiKeyLineage,
    ApiKeyCredentials,
    ApiKeySearch,
    ApiKeySecrets,
    ApiKeysReader,
    ApiKeysService,
    ApiKeysStore,
    Idempotency,
    LastUse,
    LockedApiKeys,
    OwnerDeletionSubscriber,
    Replays,
    SearchTexts,
    SecretDigests,
    SecretsService,
    SnapshotLoader,
    Snapshots,
    StoredKeyChecks,
  ],
  exports: [ApiKeyCredentials, ApiKeyLineage, ApiKeysReader, LastUse, Snapshots],
})
export class ApiKeysModule {}
