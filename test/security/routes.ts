import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { FASTIFY_ROUTE_CONFIG_METADATA } from '@nestjs/platform-fastify/constants.js';
import { type AccessRule, accessRuleOf } from '../../src/auth/access.decorators.js';
import { operationOf, type OperationSettings } from '../../src/contract/operation.js';
import { isPublic } from '../../src/contract/public.decorator.js';
import { type Route, RouteTable } from '../../src/contract/route-table.service.js';
import { USER_PASSWORD } from '../support/test-app.js';

/** What a handler says about who may call it; undefined when it says nothing. */
export type DeclaredAccess = AccessRule | 'public' | undefined;

/** A route of the running application with what its handler declares. */
export interface DeclaredRoute extends Route {
  /** The name given by `@Operation`. */
  readonly action: string | undefined;
  readonly access: DeclaredAccess;
  /** Bytes of body that it accepts. */
  readonly bodyLimit: number;
  readonly isForm: boolean;
  /** Its callers are known from memory, within the bound of the change feed. */
  readonly isDataPlane: boolean;
}

/** A route that asks for a credential. */
export interface ProtectedRoute extends DeclaredRoute {
  readonly action: string;
  readonly access: AccessRule;
  readonly isDataPlane: boolean;
}

/** The routes of every controller, found by reflection: HEAD routes, which Fastify adds, are not among them. */
export function declaredRoutes(app: NestFastifyApplication): DeclaredRoute[] {
  const scanner = new MetadataScanner();
  return app
    .get(DiscoveryService, { strict: false })
    .getControllers()
    .flatMap(({ instance, metatype }) => {
      const prototype = Object.getPrototypeOf(instance) as Record<string, object>;
      const base = Reflect.getMetadata(PATH_METADATA, metatype as object) as string;
      return scanner
        .getAllMethodNames(prototype)
        .map((name) => prototype[name]!)
        .filter((handler) => Reflect.hasMetadata(METHOD_METADATA, handler))
        .map((handler) => ({
          bodyLimit: settingsOf(handler).bodyLimit ?? DEFAULT_BODY_LIMIT,
          isForm: settingsOf(handler).isForm === true,
          method: RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler) as number]!,
          url: joined(base, Reflect.getMetadata(PATH_METADATA, handler) as string),
          action: operationOf(handler)?.action,
          isDataPlane: operationOf(handler)?.isDataPlane === true,
          access: isPublic(handler, metatype as object) ? 'public' : accessRuleOf(handler),
        }));
    });
}

const DEFAULT_BODY_LIMIT = 64 * 1_024;

function settingsOf(handler: object): OperationSettings {
  return (Reflect.getMetadata(FASTIFY_ROUTE_CONFIG_METADATA, handler) ?? {}) as OperationSettings;
}

/** Those of them that ask for a credential. */
export function protectedRoutes(app: NestFastifyApplication): ProtectedRoute[] {
  return declaredRoutes(app).filter(
    (route): route is ProtectedRoute => typeof route.access === 'object' && route.action !== undefined,
  );
}

/** What Fastify serves, by method and pattern, however it was registered. */
export function servedRoutes(app: NestFastifyApplication): Route[] {
  return app.get(RouteTable).all();
}

/** Those that no controller handles: the API document and its pages, read by anybody. */
export function documentRoutes(app: NestFastifyApplication): DeclaredRoute[] {
  const handled = new Set(declaredRoutes(app).map(({ method, url }) => `${method} ${url}`));
  return servedRoutes(app)
    .filter(({ method, url }) => method !== 'HEAD' && !handled.has(`${method} ${url}`))
    .map((route) => ({
      ...route,
      action: undefined,
      access: 'public' as const,
      bodyLimit: DEFAULT_BODY_LIMIT,
      isForm: false,
      isDataPlane: false,
    }));
}

let made = 0;

/** A body that each operation accepts, by its name; those that are not here accept an empty object or no body. */
const VALID_BODIES: Readonly<Record<string, () => Record<string, unknown>>> = {
  login: () => ({ username: 'nobody', password: USER_PASSWORD }),
  refresh_session: () => ({ refresh_token: 'rt_of_nobody' }),
  create_user: () => ({ username: `made-${(made += 1)}`, password: USER_PASSWORD }),
  set_user_password: () => ({ new_password: `${USER_PASSWORD} anew` }),
  create_api_key: () => ({ name: 'Made by a test' }),
  create_organization: () => ({ slug: `made-${(made += 1)}`, name: 'Made by a test' }),
  create_project: () => ({ slug: `made-${(made += 1)}`, name: 'Made by a test' }),
  add_organization_member: () => ({ user_id: 999_999, role: 'org_member' }),
  update_organization_member: () => ({ role: 'org_member' }),
  add_project_member: () => ({ user_id: 999_999, role: 'project_viewer' }),
  update_project_member: () => ({ role: 'project_viewer' }),
  create_organization_invitation: () => ({ username: 'nobody', role: 'org_member' }),
  create_project_invitation: () => ({ username: 'nobody', role: 'project_viewer' }),
  accept_invitation: () => ({ token: 'inv_of_nobody', password: USER_PASSWORD }),
  create_service_account: () => ({ name: `made-${(made += 1)}` }),
  // What it needs where the key is to be is tested with transfers.
  transfer_api_key: () => ({ user_id: 1, project_id: 999_999 }),
  update_organization_budget: () => ({ limit_cents: null }),
  update_project_budget: () => ({ limit_cents: null }),
  update_api_key: () => ({ description: 'Changed by a test' }),
  verify_api_key: () => ({ key: 'en_unknown' }),
  verify_api_keys: () => ({ requests: [{ key: 'en_unknown' }] }),
  introspect_api_key: () => ({ token: 'en_unknown' }),
  create_budget_hold: () => ({ api_key_id: 999_999, amount_cents: 1, ttl_seconds: 60 }),
  settle_budget_hold: () => ({ cost_cents: 1 }),
  extend_budget_hold: () => ({ ttl_seconds: 60 }),
};

/** The path of a route, as `ApiClient` takes it, with an id that nobody has and that has the right shape. */
export function vacantPath(url: string): string {
  const id = url.startsWith('/api/v1/budget-holds') ? '00000000-0000-7000-8000-000000000000' : '999999';
  const secretId = '0123456789abcdef';
  return `/${withId(url, id)
    .replace(/:(user|invitation|service_account)_id|\{(user|invitation|service_account)_id\}/, '999999')
    .replace(/:secret_id|\{secret_id\}/, secretId)}`;
}

/** What any user may do in the default organization, as a member of it. */
export const MEMBER_PERMISSIONS: readonly string[] = [
  'platform:organizations:read',
  'platform:projects:read',
];

/** Whether the id of a path names an organization or a project. */
export function isOfPlace(url: string): boolean {
  return /^\/api\/v1\/(organizations|projects)\//.test(url);
}

/** A path with an id in it; where that names an organization or a project, the default one, which everybody belongs to. */
export function withId(url: string, id: string | number): string {
  return url.replace(/:id|\{id\}/, isOfPlace(url) ? '1' : String(id));
}

/** The body to send to an operation; undefined for methods that take none. */
export function validBody(method: string, action: string): Record<string, unknown> | undefined {
  return method === 'GET' || method === 'DELETE' ? undefined : (VALID_BODIES[action]?.() ?? {});
}

function joined(...parts: string[]): string {
  const segments = parts.flatMap((part) => part.split('/')).filter((segment) => segment !== '');
  return `/${segments.join('/')}`;
}
