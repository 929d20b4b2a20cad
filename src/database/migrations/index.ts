import { CreateUsers1763800000000 } from './1763800000000-create-users.js';
import { CreateApiKeys1763800100000 } from './1763800100000-create-api-keys.js';
import { CreateAuditLogs1763800200000 } from './1763800200000-create-audit-logs.js';
import { CreateRateWindows1763800300000 } from './1763800300000-create-rate-windows.js';
import { CreateChangeFeed1763800400000 } from './1763800400000-create-change-feed.js';
import { CreateBudgetAccounts1763800500000 } from './1763800500000-create-budget-accounts.js';
import { CreateUsage1763800600000 } from './1763800600000-create-usage.js';
import { CreateBudgetLedger1763800700000 } from './1763800700000-create-budget-ledger.js';
import { IndexUsageRollups1763800800000 } from './1763800800000-index-usage-rollups.js';
import { CreateSearchTexts1763800900000 } from './1763800900000-create-search-texts.js';
import { CreateSchemaFunctions1764300000000 } from './1764300000000-create-schema-functions.js';
import { ChangeSearchTextsByStatement1764300300000 } from './1764300300000-change-search-texts-by-statement.js';
import { IndexEndedApiKeys1764300300010 } from './1764300300010-index-ended-api-keys.js';
import { NumberAuditLogs1764300300020 } from './1764300300020-number-audit-logs.js';
import { IndexAuditLogNumbers1764300300030 } from './1764300300030-index-audit-log-numbers.js';
import { CreateKeyLineage1764300400000 } from './1764300400000-create-key-lineage.js';
import { KnowReporters1764300500000 } from './1764300500000-know-reporters.js';
import { DescribeSecrets1764300700000 } from './1764300700000-describe-secrets.js';
import { KeepSeveralRetiringSecrets1764300700001 } from './1764300700001-keep-several-retiring-secrets.js';
import { IndexExpiries1764300700002 } from './1764300700002-index-expiries.js';
import { FoldSearchTexts1764300700003 } from './1764300700003-fold-search-texts.js';
import { CreateStartChecks1764300800000 } from './1764300800000-create-start-checks.js';
import { KeepPeriodsAndTime1764300900000 } from './1764300900000-keep-periods-and-time.js';
import { KeepRequestIdsInGenerations1764301200000 } from './1764301200000-keep-request-ids-in-generations.js';
import { ProveDroppedAuditMonths1764301200001 } from './1764301200001-prove-dropped-audit-months.js';

/** Every migration, oldest first. Named one by one: a glob finds nothing under some runners. */
export const MIGRATIONS = [
  CreateUsers1763800000000,
  CreateApiKeys1763800100000,
  CreateAuditLogs1763800200000,
  CreateRateWindows1763800300000,
  CreateChangeFeed1763800400000,
  CreateBudgetAccounts1763800500000,
  CreateUsage1763800600000,
  CreateBudgetLedger1763800700000,
  IndexUsageRollups1763800800000,
  CreateSearchTexts1763800900000,
  CreateSchemaFunctions1764300000000,
  ChangeSearchTextsByStatement1764300300000,
  IndexEndedApiKeys1764300300010,
  NumberAuditLogs1764300300020,
  IndexAuditLogNumbers1764300300030,
  CreateKeyLineage1764300400000,
  KnowReporters1764300500000,
  DescribeSecrets1764300700000,
  KeepSeveralRetiringSecrets1764300700001,
  IndexExpiries1764300700002,
  FoldSearchTexts1764300700003,
  CreateStartChecks1764300800000,
  KeepPeriodsAndTime1764300900000,
  KeepRequestIdsInGenerations1764301200000,
  ProveDroppedAuditMonths1764301200001,
];
