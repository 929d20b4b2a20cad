import type { BudgetBalance, DomainEvent, DomainEventName, DomainEvents } from '../events/domain-events.js';
import { type AuditEntry, type Entries, entry, ofPlace, placed, updateDetails } from './audit-entry.js';
import { TEAM_ENTRIES } from './team-audit-entries.js';

/** Every event and its entry. Actions and details of API keys are the seed's, the others their routes' names. */
const ENTRIES: Entries = {
  'api_key.listed': (details) => apiKey('list_api_keys', null, details),
  'api_key.viewed': ({ apiKeyId }) => apiKey('get_api_key', apiKeyId),
  'api_key.usage_viewed': ({ apiKeyId }) => apiKey('get_api_key_usage', apiKeyId),
  'api_key.usage_series_viewed': ({ apiKeyId, interval, from, to, groupBy }) =>
    apiKey('get_api_key_usage_series', apiKeyId, { interval, from, to, group_by: groupBy }),
  'usage.events_viewed': ({ apiKeyId, requestId }) =>
    apiKey('get_usage_events', apiKeyId, { request_id: requestId }),
  'usage.summary_viewed': ({ filters }) => entry('get_usage_summary', 'usage', null, { filters }),
  'api_key.created': ({ apiKeyId, name, scopes, serviceAccountId }) =>
    apiKey('create_api_key', apiKeyId, {
      name,
      scopes,
      ...(serviceAccountId === undefined ? {} : { service_account_id: serviceAccountId }),
    }),
  'api_key.updated': ({ apiKeyId, ...values }) => apiKey('update_api_key', apiKeyId, updateDetails(values)),
  'api_key.deleted': ({ apiKeyId, name }) => apiKey('delete_api_key', apiKeyId, { name }),
  'api_keys.deleted': (keys) => apiKeys('delete_api_key', keys),
  'api_keys.deactivated': (keys) => apiKeys('deactivate_api_key', keys),
  'api_key.regenerated': ({ apiKeyId, name, gracePeriodSeconds }) =>
    apiKey(
      'regenerate_api_key',
      apiKeyId,
      gracePeriodSeconds === 0 ? { name } : { name, grace_period_seconds: gracePeriodSeconds },
    ),
  'api_key.secret_ended': ({ apiKeyId, name, secretId, keyPrefix }) =>
    apiKey('delete_api_key_secret', apiKeyId, { name, secret_id: secretId, key_prefix: keyPrefix }),
  'api_key.activated': ({ apiKeyId, name }) => apiKey('activate_api_key', apiKeyId, { name }),
  'api_key.deactivated': ({ apiKeyId, name }) => apiKey('deactivate_api_key', apiKeyId, { name }),
  'api_key.transferred': ({ apiKeyId, name, beforeValues, afterValues }) =>
    apiKey('transfer_api_key', apiKeyId, { name, ...updateDetails({ beforeValues, afterValues }) }),

  'budget.threshold_reached': ({ percent, ...balance }) =>
    budget('budget_threshold_reached', balance, { percent }),
  'budget.exhausted': (balance) => budget('budget_exhausted', balance),

  'usage.reversed': ({ eventId, apiKeyId, requestId, costCents, occurredAt }) =>
    entry('reverse_usage_event', 'usage_event', eventId, {
      api_key_id: apiKeyId,
      request_id: requestId,
      cost_cents_decimal: costCents,
      occurred_at: occurredAt,
    }),

  'user.listed': (details) => user('list_users', null, details),
  'user.viewed': ({ userId }) => user('get_user', userId),
  'user.created': ({ userId, username, role, permissions }) =>
    user('create_user', userId, { username, role, permissions }),
  'user.updated': ({ userId, ...values }) => user('update_user', userId, updateDetails(values)),
  'user.deleted': ({ userId, username }) => user('delete_user', userId, { username }),
  'user.password_changed': ({ userId }) => user('set_user_password', userId),
  'user.password_refused': ({ userId }) => ({
    ...user('set_user_password', userId, { reason: 'credentials' }),
    success: false,
  }),
  'user.password_throttled': ({ userId, count, since }) => ({
    ...user('set_user_password', userId, { reason: 'throttled', count, since }),
    success: false,
  }),

  'organization.listed': (details) => entry('list_organizations', 'organization', null, details),
  'organization.viewed': ({ organizationId }) =>
    entry('get_organization', 'organization', organizationId, {}),
  'organization.created': ({ organizationId, slug, name }) =>
    entry('create_organization', 'organization', organizationId, { slug, name }),
  'organization.updated': ({ organizationId, ...values }) =>
    entry('update_organization', 'organization', organizationId, updateDetails(values)),
  'organization.deleted': ({ organizationId, slug }) =>
    entry('delete_organization', 'organization', organizationId, { slug }),
  'project.listed': ({ organizationId: _of, ...details }) => entry('list_projects', 'project', null, details),
  'project.viewed': ({ projectId }) => entry('get_project', 'project', projectId, {}),
  'project.created': ({ projectId, slug, name }) =>
    entry('create_project', 'project', projectId, { slug, name }),
  'project.updated': ({ projectId, beforeValues, afterValues }) =>
    entry('update_project', 'project', projectId, updateDetails({ beforeValues, afterValues })),
  'project.deleted': ({ projectId, slug }) => entry('delete_project', 'project', projectId, { slug }),
  'scope_budget.viewed': (place) => scopeBudget('get', place),
  'scope_budget.updated': ({ beforeValues, afterValues, ...place }) =>
    scopeBudget('update', place, updateDetails({ beforeValues, afterValues })),
  'member.listed': ({ organizationId: _of, projectId, ...details }) =>
    entry(ofPlace('list', 'members', projectId), 'member', null, placed(projectId, details)),
  'member.added': ({ projectId, userId, role }) =>
    entry(ofPlace('add', 'member', projectId), 'member', userId, placed(projectId, { role })),
  'member.updated': ({ projectId, userId, beforeValues, afterValues }) =>
    entry(
      ofPlace('update', 'member', projectId),
      'member',
      userId,
      placed(projectId, updateDetails({ beforeValues, afterValues })),
    ),
  'member.removed': ({ projectId, userId }) =>
    entry(ofPlace('remove', 'member', projectId), 'member', userId, placed(projectId, {})),

  'policy.viewed': (place) => policy('get', place, {}),
  'policy.updated': ({ beforeValues, afterValues, ...place }) =>
    policy('update', place, updateDetails({ beforeValues, afterValues })),
  'policy.tried': ({ wouldBeRefused, ...place }) =>
    policy('update', place, { dry_run: true, would_be_refused: wouldBeRefused }),
  ...TEAM_ENTRIES,

  'session.opened': ({ sessionId, userId }) => session('login', sessionId, userId),
  'session.refreshed': ({ sessionId, userId }) => session('refresh_session', sessionId, userId),
  'session.closed': ({ sessionId, userId }) => session('logout', sessionId, userId),
  'session.reuse_detected': ({ sessionId, userId }) => ({
    ...session('refresh_session', sessionId, userId),
    details: { reason: 'refresh_token_reused' },
    success: false,
  }),
  'login.failed': ({ name }) => failedLogin({ ...name, reason: 'credentials' }),
  'login.throttled': ({ name, count, since }) => failedLogin({ ...name, reason: 'throttled', count, since }),

  'audit_log.listed': ({ filters }) => entry('list_audit_logs', 'audit_log', null, { filters }),
  'audit_log.exported': ({ filters }) => entry('export_audit_logs', 'audit_log', null, { filters }),
  'access.refused': ({ action, resourceType, resourceId, ...details }) => ({
    ...entry(action, resourceType, resourceId, details),
    success: false,
  }),
};

/** The audit entry of an event. */
export function auditEntryOf<Name extends DomainEventName>(event: DomainEvent<Name>): AuditEntry {
  return ENTRIES[event.name](event.payload);
}

function apiKey(action: string, apiKeyId: number | null, details: AuditEntry['details'] = {}): AuditEntry {
  return entry(action, 'api_key', apiKeyId, details);
}

/** A row for each of many keys. */
function apiKeys(
  action: string,
  { apiKeyIds, names, reason }: DomainEvents['api_keys.deleted' | 'api_keys.deactivated'],
): AuditEntry {
  const resources = apiKeyIds.map((id, index) => ({
    id: String(id),
    details: { name: names[index] ?? '', reason },
  }));
  return { ...apiKey(action, null), resources };
}

/** A budget is named by the key, the project or the organization whose it is. */
function budget(
  action: string,
  { accountId, apiKeyId, projectId, organizationId, spentCents, limitCents, periodStart }: BudgetBalance,
  more: AuditEntry['details'] = {},
): AuditEntry {
  const details = {
    ...more,
    spent_cents_decimal: spentCents,
    limit_cents: limitCents,
    period_start: periodStart,
  };
  if (apiKeyId !== null) return apiKey(action, apiKeyId, details);
  if (projectId !== null) return entry(action, 'project', projectId, details);
  return organizationId === null
    ? entry(action, 'budget_account', accountId, details)
    : entry(action, 'organization', organizationId, details);
}

/** The budget of a project or an organization is a part of it. */
function scopeBudget(
  verb: string,
  { organizationId, projectId }: DomainEvents['scope_budget.viewed'],
  details: AuditEntry['details'] = {},
): AuditEntry {
  const action = ofPlace(verb, 'budget', projectId);
  return projectId === null
    ? entry(action, 'organization', organizationId, details)
    : entry(action, 'project', projectId, details);
}

function user(action: string, userId: number | null, details: AuditEntry['details'] = {}): AuditEntry {
  return entry(action, 'user', userId, details);
}

/** Logging in and refreshing take no credential of the kind that names an actor: the session's user is the actor. */
function session(action: string, sessionId: string, userId: number): AuditEntry {
  return { ...entry(action, 'session', sessionId, {}), actorUserId: userId };
}

/** A policy is named by the organization or the project whose keys it binds. */
function policy(
  verb: string,
  { organizationId, projectId }: DomainEvents['policy.viewed'],
  details: AuditEntry['details'],
): AuditEntry {
  return entry(ofPlace(verb, 'policy', projectId), 'policy', projectId ?? organizationId, details);
}

function failedLogin(details: AuditEntry['details']): AuditEntry {
  return { ...entry('login', 'session', null, details), success: false, actorUserId: null };
}
