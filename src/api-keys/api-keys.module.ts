import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { BudgetsModule } from '../budgets/budgets.module.js';
import { OrganizationsModule } from '../organizations/organizations.module.js';
import { ApiKey, ApiKeySecret } from './api-key.entity.js';
import { ApiKeyCounts } from './api-key-counts.service.js';
import { ApiKeyCredentials } from './api-key-credentials.service.js';
import { ApiKeyLineage } from './api-key-lineage.service.js';
import { ApiKeyPlaces } from './api-key-places.queries.js';
import { ApiKeySearch } from './api-key-search.queries.js';
import { ApiKeySecrets } from './api-key-secrets.queries.js';
import { ApiKeysController } from './api-keys.controller.js';
import { ApiKeysReader } from './api-keys-reader.service.js';
import { ApiKeysService } from './api-keys.service.js';
import { ApiKeysStore } from './api-keys.queries.js';
import { Idempotency } from './idempotency.service.js';
import { KeyPolicies } from './key-policies.service.js';
import { KeyReach } from './key-reach.service.js';
import { LastUse } from './last-use.service.js';
import { LockedApiKeys } from './locked-api-keys.queries.js';
import { KeyOwners } from './key-owners.queries.js';
import { MemberRemovalSubscriber } from './member-removal.subscriber.js';
import { OrganizationPoliciesController } from './organization-policies.controller.js';
import { OwnerDeletionSubscriber } from './owner-deletion.subscriber.js';
import { PolicyRequests } from './policy-requests.service.js';
import { PolicyStates } from './policy-states.service.js';
import { PolicyTrials } from './policy-trials.service.js';
import { ProjectPoliciesController } from './project-policies.controller.js';
import { Replays } from './replays.service.js';
import { SearchTexts } from './search-texts.service.js';
import { SecretDigests } from './secret-digests.service.js';
import { SecretsController } from './secrets.controller.js';
import { SecretsService } from './secrets.service.js';
import { TransfersController } from './transfers.controller.js';
import { TransfersService } from './transfers.service.js';
import { CachedKeyLoader } from './cached-key.queries.js';
import { CachedKeys } from './cached-keys.service.js';
import { StoredKeyChecks } from './stored-key-checks.service.js';

/** API keys: their policies, their secrets, and what each of them is worth as a credential. */
@Module({
  imports: [BudgetsModule, OrganizationsModule, TypeOrmModule.forFeature([ApiKey, ApiKeySecret])],
  controllers: [
    ApiKeysController,
    OrganizationPoliciesController,
    ProjectPoliciesController,
    SecretsController,
    TransfersController,
  ],
  providers: [
    ApiKeyCounts,
    ApiKeyLineage,
    ApiKeyCredentials,
    ApiKeyPlaces,
    ApiKeySearch,
    ApiKeySecrets,
    ApiKeysReader,
    ApiKeysService,
    ApiKeysStore,
    Idempotency,
    KeyPolicies,
    KeyOwners,
    KeyReach,
    LastUse,
    LockedApiKeys,
    MemberRemovalSubscriber,
    OwnerDeletionSubscriber,
    PolicyRequests,
    PolicyStates,
    PolicyTrials,
    Replays,
    SearchTexts,
    SecretDigests,
    SecretsService,
    TransfersService,
    CachedKeyLoader,
    CachedKeys,
    StoredKeyChecks,
  ],
  exports: [ApiKeyCredentials, ApiKeyLineage, ApiKeysReader, KeyReach, LastUse, CachedKeys, PolicyStates],
})
export class ApiKeysModule {}
