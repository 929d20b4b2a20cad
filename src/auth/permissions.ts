/** Every permission that a route of this service asks for, and what it allows. */
export const PERMISSIONS = {
  'platform:api-keys:create': 'Create API keys, also for other users.',
  'platform:api-keys:read': 'Read every API key and its usage, and sums over all of them.',
  'platform:api-keys:update': 'Change, activate, deactivate and regenerate every API key.',
  'platform:api-keys:delete': 'Delete every API key.',
  'platform:api-keys:verify': 'Ask for verdicts about keys: verify, introspect and forward-auth.',
  'platform:usage:write': 'Report usage, and take, settle, extend and release holds.',
  'platform:budgets:update': 'Reverse usage events, and release holds of others.',
  'platform:users:create': 'Create users.',
  'platform:users:read': 'Read every user.',
  'platform:users:update': 'Change users, their roles and permissions, and set their passwords.',
  'platform:users:delete': 'Delete users.',
  'platform:audit:read': 'Read and export the audit log.',
} as const;

/** A permission that a route may ask for. */
export type Permission = keyof typeof PERMISSIONS;
