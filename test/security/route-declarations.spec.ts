import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../support/test-app.js';
import { declaredRoutes, servedRoutes } from './routes.js';

/** Everything that answers without a credential. Adding to it is a decision about security. */
const PUBLIC_ROUTES = [
  // Judges the API key of the request itself: the only credential there is.
  'GET /',
  'GET /api/v1/forward-auth',
  'GET /errors',
  'GET /errors/:code',
  // The docs site, which is the same for everybody.
  'GET /guide',
  'GET /guide/*',
  'GET /health/live',
  'GET /health/ready',
  'GET /metrics',
  'POST /api/v1/auth/login',
  'POST /api/v1/auth/refresh',
  // Takes the token of an invitation from somebody who is no user yet.
  'POST /api/v1/invitations/accept',
];

/** Served by no controller: the API document and its pages. */
const DOCUMENT_ROUTES = /^\/(docs(\/.*)?|openapi\.(json|yaml))$/;

/** Who may call each route that is not public. */
const REQUIRED_PERMISSIONS: Readonly<Record<string, string>> = {
  'GET /api/v1/users': 'permission platform:users:read',
  'POST /api/v1/users': 'permission platform:users:create',
  'GET /api/v1/users/:id': 'permission platform:users:read',
  'PUT /api/v1/users/:id': 'permission platform:users:update',
  'PUT /api/v1/users/:id/password': 'owner_or_permission platform:users:update',
  'DELETE /api/v1/users/:id': 'permission platform:users:delete',
  'GET /api/v1/api-keys': 'owner_or_permission platform:api-keys:read',
  'POST /api/v1/api-keys': 'permission_in_scope platform:api-keys:create',
  'GET /api/v1/api-keys/:id': 'owner_or_permission platform:api-keys:read',
  'PUT /api/v1/api-keys/:id': 'owner_or_permission platform:api-keys:update',
  'DELETE /api/v1/api-keys/:id': 'owner_or_permission platform:api-keys:delete',
  'POST /api/v1/api-keys/:id/regenerate': 'owner_or_permission platform:api-keys:update',
  'GET /api/v1/api-keys/:id/usage': 'owner_or_permission platform:api-keys:read',
  'POST /api/v1/api-keys/:id/activate': 'owner_or_permission platform:api-keys:update',
  'POST /api/v1/api-keys/:id/deactivate': 'owner_or_permission platform:api-keys:update',
  'DELETE /api/v1/api-keys/:id/secrets/:secret_id': 'owner_or_permission platform:api-keys:update',
  'GET /api/v1/api-keys/:id/usage/events': 'owner_or_permission platform:api-keys:read',
  'GET /api/v1/api-keys/:id/usage/series': 'owner_or_permission platform:api-keys:read',
  'GET /api/v1/api-keys/:id/usage/series.csv': 'owner_or_permission platform:api-keys:read',
  'POST /api/v1/api-keys/verify': 'permission_in_scope platform:api-keys:verify',
  'POST /api/v1/api-keys/verify/batch': 'permission_in_scope platform:api-keys:verify',
  'POST /api/v1/introspect': 'permission_in_scope platform:api-keys:verify',
  'POST /api/v1/usage': 'permission_in_scope platform:usage:write',
  'POST /api/v1/usage/:id/reversal': 'permission platform:budgets:update',
  'GET /api/v1/usage/summary': 'owner_or_permission platform:api-keys:read',
  'GET /api/v1/usage/summary.csv': 'owner_or_permission platform:api-keys:read',
  'POST /api/v1/budget-holds': 'permission_in_scope platform:usage:write',
  'POST /api/v1/budget-holds/:id/extend': 'permission_in_scope platform:usage:write',
  'POST /api/v1/budget-holds/:id/release':
    'permission_in_scope platform:usage:write or platform:budgets:update',
  'POST /api/v1/budget-holds/:id/settle': 'permission_in_scope platform:usage:write',
  'GET /api/v1/audit-logs': 'permission_in_scope platform:audit:read',
  'GET /api/v1/audit-logs/export': 'permission_in_scope platform:audit:read',
  'GET /api/v1/organizations': 'authenticated',
  'POST /api/v1/organizations': 'permission platform:organizations:create',
  'GET /api/v1/organizations/:id': 'permission_in_scope platform:organizations:read of organization',
  'PUT /api/v1/organizations/:id': 'permission_in_scope platform:organizations:update of organization',
  'DELETE /api/v1/organizations/:id': 'permission_in_scope platform:organizations:delete of organization',
  'GET /api/v1/organizations/:id/members': 'permission_in_scope platform:members:read of organization',
  'POST /api/v1/organizations/:id/members': 'permission_in_scope platform:members:create of organization',
  'PUT /api/v1/organizations/:id/members/:user_id':
    'permission_in_scope platform:members:update of organization',
  'DELETE /api/v1/organizations/:id/members/:user_id':
    'permission_in_scope platform:members:delete of organization or oneself',
  'GET /api/v1/organizations/:id/policy': 'permission_in_scope platform:policies:read of organization',
  'PUT /api/v1/organizations/:id/policy': 'permission_in_scope platform:policies:update of organization',
  'GET /api/v1/organizations/:id/projects': 'permission_in_scope platform:projects:read of organization',
  'POST /api/v1/organizations/:id/projects': 'permission_in_scope platform:projects:create of organization',
  'GET /api/v1/organizations/:id/budgets': 'permission_in_scope platform:budgets:read of organization',
  'PUT /api/v1/organizations/:id/budgets': 'permission_in_scope platform:budgets:update of organization',
  'GET /api/v1/projects/:id/budgets': 'permission_in_scope platform:budgets:read of project',
  'PUT /api/v1/projects/:id/budgets': 'permission_in_scope platform:budgets:update of project',
  'GET /api/v1/projects': 'authenticated',
  'GET /api/v1/projects/:id': 'permission_in_scope platform:projects:read of project',
  'PUT /api/v1/projects/:id': 'permission_in_scope platform:projects:update of project',
  'DELETE /api/v1/projects/:id': 'permission_in_scope platform:projects:delete of project',
  'GET /api/v1/organizations/:id/invitations': 'permission_in_scope platform:members:read of organization',
  'POST /api/v1/organizations/:id/invitations': 'permission_in_scope platform:members:create of organization',
  'DELETE /api/v1/organizations/:id/invitations/:invitation_id':
    'permission_in_scope platform:members:delete of organization',
  'GET /api/v1/projects/:id/invitations': 'permission_in_scope platform:members:read of project',
  'POST /api/v1/projects/:id/invitations': 'permission_in_scope platform:members:create of project',
  'DELETE /api/v1/projects/:id/invitations/:invitation_id':
    'permission_in_scope platform:members:delete of project',
  'GET /api/v1/projects/:id/service-accounts':
    'permission_in_scope platform:service-accounts:read of project',
  'POST /api/v1/projects/:id/service-accounts':
    'permission_in_scope platform:service-accounts:create of project',
  'GET /api/v1/projects/:id/service-accounts/:service_account_id':
    'permission_in_scope platform:service-accounts:read of project',
  'PUT /api/v1/projects/:id/service-accounts/:service_account_id':
    'permission_in_scope platform:service-accounts:update of project',
  'DELETE /api/v1/projects/:id/service-accounts/:service_account_id':
    'permission_in_scope platform:service-accounts:delete of project',
  'POST /api/v1/api-keys/:id/transfer': 'permission_in_scope platform:api-keys:update',
  'GET /api/v1/projects/:id/members': 'permission_in_scope platform:members:read of project',
  'POST /api/v1/projects/:id/members': 'permission_in_scope platform:members:create of project',
  'PUT /api/v1/projects/:id/members/:user_id': 'permission_in_scope platform:members:update of project',
  'DELETE /api/v1/projects/:id/members/:user_id':
    'permission_in_scope platform:members:delete of project or oneself',
  'GET /api/v1/projects/:id/policy': 'permission_in_scope platform:policies:read of project',
  'PUT /api/v1/projects/:id/policy': 'permission_in_scope platform:policies:update of project',
  'GET /api/v1/reference': 'authenticated',
  'POST /api/v1/auth/logout': 'authenticated',
  'GET /api/v1/auth/me': 'authenticated',
};

describe('every route of the running application', { timeout: 120_000 }, () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('declares a permission, ownership, @Authenticated or @Public', () => {
    const silent = declaredRoutes(app.app).filter(({ access }) => access === undefined);
    expect(silent.map(nameOf)).toEqual([]);
  });

  it('is the handler of a controller, but for the pages of the API document', () => {
    const handled = new Set(declaredRoutes(app.app).map(nameOf));
    const strays = servedRoutes(app.app)
      .map(({ method, url }) => ({ method: method === 'HEAD' ? 'GET' : method, url }))
      .filter((route) => !handled.has(nameOf(route)) && !DOCUMENT_ROUTES.test(route.url));
    expect(strays.map(nameOf)).toEqual([]);
    expect(handled.size).toBeGreaterThan(20);
  });

  it('names its operation, so that its refusals are audited', () => {
    const unnamed = declaredRoutes(app.app).filter(({ action }) => action === undefined);
    expect(unnamed.map(nameOf)).toEqual([]);
  });

  it('answers strangers only when it is on the list of public routes', () => {
    const open = declaredRoutes(app.app).filter(({ access }) => access === 'public');
    expect(open.map(nameOf).toSorted()).toEqual(PUBLIC_ROUTES);
  });

  it('asks for the permission that the table names, and no route is left out of the table', () => {
    const declared = declaredRoutes(app.app).flatMap((route) => {
      const { access } = route;
      if (access === 'public') return [];
      if (typeof access !== 'object') return [[nameOf(route), String(access)]];
      if (access.kind === 'authenticated') return [[nameOf(route), access.kind]];
      const alternative = 'alternative' in access ? access.alternative : undefined;
      const permissions = [access.permission, ...(alternative === undefined ? [] : [alternative])];
      const place =
        access.kind === 'permission_in_scope' && access.below !== undefined ? ` of ${access.below}` : '';
      const self = access.kind === 'permission_in_scope' && access.orSelf ? ' or oneself' : '';
      return [[nameOf(route), `${access.kind} ${permissions.join(' or ')}${place}${self}`]];
    });
    expect(Object.fromEntries(declared)).toEqual(REQUIRED_PERMISSIONS);
  });
});

function nameOf({ method, url }: { method: string; url: string }): string {
  return `${method} ${url}`;
}
