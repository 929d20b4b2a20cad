/** Every permission that a route of this service asks for, and what it allows. */
export const PERMISSIONS = {
  'platform:api-keys:create': 'Create API keys, also for other users.',
  'platform:api-keys:read': 'Read every API key and its usage, and sums over all of them.',
  'platform:api-keys:update': 'Change, activate, deactivate and regenerate every API key.',
  'platform:api-keys:delete': 'Delete every API key.',
  'platform:api-keys:verify': 'Ask for verdicts about keys: verify, introspect and forward-auth.',
  'platform:usage:write': 'Report usage, and take, settle, extend and release holds.',
  'platform:budgets:read': 'Read the budgets of organizations and projects.',
  'platform:budgets:update':
    'Set the budgets of organizations and projects, reverse usage events, and release holds of others.',
  'platform:organizations:create': 'Create organizations.',
  'platform:organizations:read': 'Read organizations.',
  'platform:organizations:update': 'Change organizations.',
  'platform:organizations:delete': 'Delete organizations.',
  'platform:projects:create': 'Create projects.',
  'platform:projects:read': 'Read projects.',
  'platform:projects:update': 'Change, disable and enable projects.',
  'platform:projects:delete': 'Delete projects.',
  'platform:members:create': 'Add and invite members.',
  'platform:members:read': 'Read members and invitations.',
  'platform:members:update': 'Change the roles of members.',
  'platform:members:delete': 'Remove members, and revoke invitations.',
  'platform:policies:read': 'Read the policies that keys must obey.',
  'platform:policies:update': 'Set the policies that keys must obey.',
  'platform:service-accounts:create': 'Create service accounts.',
  'platform:service-accounts:read': 'Read service accounts.',
  'platform:service-accounts:update': 'Change service accounts.',
  'platform:service-accounts:delete': 'Delete service accounts.',
  'platform:users:create': 'Create users.',
  'platform:users:read': 'Read every user.',
  'platform:users:update': 'Change users, their roles and permissions, and set their passwords.',
  'platform:users:delete': 'Delete users.',
  'platform:audit:read': 'Read and export the audit log.',
} as const;

/** A permission that a route may ask for. */
export type Permission = keyof typeof PERMISSIONS;
