import { CreateUsers1763800000000 } from './1763800000000-create-users.js';
import { CreateApiKeys1763800100000 } from './1763800100000-create-api-keys.js';
import { CreateAuditLogs1763800200000 } from './1763800200000-create-audit-logs.js';

/** Every migration, oldest first. Named one by one: a glob finds nothing under some runners. */
export const MIGRATIONS = [
  CreateUsers1763800000000,
  CreateApiKeys1763800100000,
  CreateAuditLogs1763800200000,
];
