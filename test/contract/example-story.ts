import type { ApiAnswer, ApiClient, ApiRequest } from '../support/api-client.js';
import { ADMIN } from '../support/test-app.js';

/** What earlier steps have answered. */
export interface Known {
  secret: string;
  refreshToken: string;
  accessToken: string;
  holdId: string;
  eventId: number;
  secretId: string;
  serviceAccountId: number;
  invitationId: number;
  invitationToken: string;
}

/** One operation as the story calls it. */
export interface Step {
  readonly operation: string;
  readonly method: string;
  readonly path: string | ((known: Known) => string);
  readonly body?: (known: Known) => unknown;
  readonly headers?: (known: Known) => Record<string, string>;
  /** A form instead of JSON. */
  readonly isForm?: true;
  /** What later steps need of its answer. */
  readonly note?: (body: ApiAnswer['body']) => Partial<Known>;
  /** Not shown: another step of the same operation is, or it only prepares. */
  readonly isHidden?: true;
}

const get = (operation: string, path: Step['path'], more: Partial<Step> = {}): Step => ({
  operation,
  method: 'GET',
  path,
  ...more,
});
const post = (operation: string, path: Step['path'], body?: unknown, more: Partial<Step> = {}): Step => ({
  operation,
  method: 'POST',
  path,
  ...(body === undefined ? {} : { body: typeof body === 'function' ? (body as Step['body']) : () => body }),
  ...more,
});
const put = (operation: string, path: Step['path'], body: unknown): Step => ({
  ...post(operation, path, body),
  method: 'PUT',
});
const remove = (operation: string, path: Step['path']): Step => ({ operation, method: 'DELETE', path });

const noteInvitation: Step['note'] = ({ invitation, token }) => ({
  invitationId: Number(invitation.id),
  invitationToken: String(token),
});

const UNKNOWN = 'en_0000000000000000000000000000000036RxEe';
const EVENT = {
  api_key_id: 1,
  request_id: 'chat-0003',
  endpoint: '/v1/chat/completions',
  method: 'POST',
  model: 'gpt-4o',
  request_tokens: 812,
  response_tokens: 164,
  cost_cents: '0.367000',
  status_code: 200,
  response_time_ms: 1430,
};
const HOLD = { api_key_id: 1, request_id: 'chat-0001', amount_cents: '12.500000', ttl_seconds: 300 };
const { api_key_id: _key, request_id: _id, ...SETTLEMENT } = EVENT;

/** The life of a key on a service that was just set up: every operation once, in an order in which each succeeds. */
export const STORY: readonly Step[] = [
  post('login', '/auth/login', ADMIN, {
    note: ({ access_token, refresh_token }) => ({
      accessToken: String(access_token),
      refreshToken: String(refresh_token),
    }),
  }),
  get('get_me', '/auth/me'),
  post('create_user', '/users', {
    username: 'carol',
    password: 'a long passphrase of a developer',
    role: 'developer',
  }),
  put('update_user', '/users/2', { permissions: ['platform:usage:write'] }),
  get('get_user', '/users/2'),
  get('list_users', '/users?size=10'),
  put('set_user_password', '/users/2/password', { new_password: 'another long passphrase of a developer' }),
  post(
    'create_api_key',
    '/api-keys',
    {
      name: 'Billing worker',
      description: 'Answers questions about invoices.',
      scopes: ['chat'],
      expires_at: '2099-01-31T12:00:00.000Z',
      rate_limit_per_minute: 60,
      allowed_ips: ['203.0.113.0/24'],
      allowed_models: ['gpt-4*'],
      is_unlimited: false,
      budget_limit_cents: 50_000,
      budget_type: 'monthly',
      tags: ['production'],
    },
    { note: ({ secret_key }) => ({ secret: String(secret_key) }) },
  ),
  get('get_api_key', '/api-keys/1'),
  get('list_api_keys', '/api-keys?size=10&tag=production'),
  put('update_api_key', '/api-keys/1', {
    description: 'Answers questions about invoices and orders.',
    rate_limit_per_hour: 1_000,
  }),
  post('verify_api_key', '/api-keys/verify', ({ secret }: Known) => ({
    key: secret,
    ip: '203.0.113.7',
    model: 'gpt-4o',
    scopes: ['chat'],
  })),
  post('verify_api_keys', '/api-keys/verify/batch', ({ secret }: Known) => ({
    requests: [{ key: secret, ip: '203.0.113.7', model: 'gpt-4o', cost: 2 }, { key: UNKNOWN }],
  })),
  post('introspect_api_key', '/introspect', ({ secret }: Known) => ({ token: secret }), { isForm: true }),
  get('forward_auth', '/forward-auth?model=gpt-4o', {
    headers: ({ secret }) => ({ authorization: `Bearer ${secret}`, 'x-forwarded-for': '203.0.113.7' }),
  }),
  post('create_budget_hold', '/budget-holds', HOLD, { note: ({ id }) => ({ holdId: String(id) }) }),
  post('extend_budget_hold', ({ holdId }) => `/budget-holds/${holdId}/extend`, { ttl_seconds: 600 }),
  post('settle_budget_hold', ({ holdId }) => `/budget-holds/${holdId}/settle`, SETTLEMENT),
  post(
    'create_budget_hold',
    '/budget-holds',
    { ...HOLD, request_id: 'chat-0002' },
    {
      note: ({ id }) => ({ holdId: String(id) }),
      isHidden: true,
    },
  ),
  post('release_budget_hold', ({ holdId }) => `/budget-holds/${holdId}/release`),
  post('report_usage', '/usage', [EVENT]),
  get('get_usage_events', '/api-keys/1/usage/events?request_id=chat-0003', {
    note: ({ usage_events }) => ({ eventId: Number(usage_events[0].id) }),
  }),
  get('get_api_key_usage', '/api-keys/1/usage'),
  get('get_api_key_usage_series', '/api-keys/1/usage/series?interval=day'),
  get('export_api_key_usage_series', '/api-keys/1/usage/series.csv?interval=day'),
  get('get_usage_summary', '/usage/summary'),
  get('export_usage_summary', '/usage/summary.csv'),
  post('reverse_usage_event', ({ eventId }) => `/usage/${eventId}/reversal`),
  post('deactivate_api_key', '/api-keys/1/deactivate'),
  post('activate_api_key', '/api-keys/1/activate'),
  post(
    'regenerate_api_key',
    '/api-keys/1/regenerate',
    { grace_period_seconds: 86_400 },
    {
      note: ({ api_key }) => ({ secretId: String(api_key.secrets[1].id) }),
    },
  ),
  post('create_organization', '/organizations', { slug: 'acme', name: 'Acme', external_id: 'cus_8f21' }),
  get('get_organization', '/organizations/2'),
  put('update_organization', '/organizations/2', { name: 'Acme Incorporated' }),
  get('list_organizations', '/organizations?external_id=cus_8f21'),
  post('create_project', '/organizations/2/projects', { slug: 'chat', name: 'Chat' }),
  get('get_project', '/projects/2'),
  put('update_project', '/projects/2', { name: 'Chat of Acme' }),
  put('update_organization_budget', '/organizations/2/budgets', { limit_cents: 500_000, type: 'monthly' }),
  get('get_organization_budget', '/organizations/2/budgets'),
  put('update_project_budget', '/projects/2/budgets', { limit_cents: 100_000, type: 'monthly' }),
  get('get_project_budget', '/projects/2/budgets'),
  get('list_projects', '/projects?size=10'),
  get('list_organization_projects', '/organizations/2/projects'),
  post('add_organization_member', '/organizations/2/members', { user_id: 2, role: 'org_member' }),
  put('update_organization_member', '/organizations/2/members/2', { role: 'org_admin' }),
  get('list_organization_members', '/organizations/2/members'),
  post('add_project_member', '/projects/2/members', { user_id: 2, role: 'project_developer' }),
  put('update_project_member', '/projects/2/members/2', { role: 'project_admin' }),
  get('list_project_members', '/projects/2/members'),
  post(
    'create_organization_invitation',
    '/organizations/2/invitations',
    { username: 'dana', role: 'org_member' },
    { note: noteInvitation },
  ),
  get('list_organization_invitations', '/organizations/2/invitations'),
  remove(
    'revoke_organization_invitation',
    ({ invitationId }) => `/organizations/2/invitations/${invitationId}`,
  ),
  post(
    'create_project_invitation',
    '/projects/2/invitations',
    { username: 'erin', role: 'project_viewer' },
    { note: noteInvitation, isHidden: true },
  ),
  remove('revoke_project_invitation', ({ invitationId }) => `/projects/2/invitations/${invitationId}`),
  post(
    'create_project_invitation',
    '/projects/2/invitations',
    { username: 'dana', role: 'project_developer' },
    { note: noteInvitation },
  ),
  get('list_project_invitations', '/projects/2/invitations'),
  post(
    'accept_invitation',
    '/invitations/accept',
    ({ invitationToken }: Known) => ({
      token: invitationToken,
      password: 'a long passphrase of a new user',
    }),
    { headers: () => ({}) },
  ),
  post(
    'create_service_account',
    '/projects/2/service-accounts',
    { name: 'chat-backend', permissions: ['platform:api-keys:read'] },
    { note: ({ id }) => ({ serviceAccountId: Number(id) }) },
  ),
  get('get_service_account', ({ serviceAccountId }) => `/projects/2/service-accounts/${serviceAccountId}`),
  put(
    'update_service_account',
    ({ serviceAccountId }) => `/projects/2/service-accounts/${serviceAccountId}`,
    {
      permissions: ['platform:api-keys:verify'],
    },
  ),
  get('list_service_accounts', '/projects/2/service-accounts'),
  post('transfer_api_key', '/api-keys/1/transfer', ({ serviceAccountId }: Known) => ({
    service_account_id: serviceAccountId,
  })),
  put('update_organization_policy', '/organizations/2/policy', {
    max_ttl_days: 90,
    default_ttl_days: 30,
    required_ips: ['203.0.113.0/24'],
  }),
  get('get_organization_policy', '/organizations/2/policy'),
  put('update_project_policy', '/projects/2/policy', { max_ttl_days: 30, max_keys: 20, enforcement: 'all' }),
  get('get_project_policy', '/projects/2/policy'),
  post('transfer_api_key', '/api-keys/1/transfer', { user_id: 1, project_id: 1 }, { isHidden: true }),
  remove(
    'delete_service_account',
    ({ serviceAccountId }) => `/projects/2/service-accounts/${serviceAccountId}`,
  ),
  remove('remove_project_member', '/projects/2/members/2'),
  remove('remove_organization_member', '/organizations/2/members/2'),
  remove('delete_project', '/projects/2'),
  remove('delete_organization', '/organizations/2'),
  remove('delete_api_key_secret', ({ secretId }) => `/api-keys/1/secrets/${secretId}`),
  remove('delete_api_key', '/api-keys/1'),
  remove('delete_user', '/users/2'),
  get('list_audit_logs', '/audit-logs?limit=2&action=create_api_key'),
  get('export_audit_logs', '/audit-logs/export?action=create_api_key'),
  post('refresh_session', '/auth/refresh', ({ refreshToken }: Known) => ({ refresh_token: refreshToken }), {
    note: ({ access_token }) => ({ accessToken: String(access_token) }),
  }),
  post('logout', '/auth/logout'),
  get('get_liveness', '//health/live'),
  get('get_readiness', '//health/ready'),
];

/** Sends one step, as the caller of the access token where it does not say otherwise. */
export async function send(
  step: Step,
  caller: ApiClient,
  known: Known,
): Promise<ApiAnswer & { sent: unknown }> {
  const sent = step.body?.(known);
  const path = typeof step.path === 'string' ? step.path : step.path(known);
  const headers =
    step.headers?.(known) ??
    (known.accessToken === '' ? {} : { authorization: `Bearer ${known.accessToken}` });
  const request: ApiRequest = step.isForm
    ? {
        rawBody: new URLSearchParams(sent as Record<string, string>).toString(),
        headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
      }
    : { ...(sent === undefined ? {} : { body: sent }), headers };
  return { ...(await caller.send(step.method, path, request)), sent };
}
