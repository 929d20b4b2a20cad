import type { Place, Values } from './event-values.js';
import type { TeamChangeEvents, TeamObservationEvents } from './team-events.js';

/** What an account of a budget stood at. */
export interface BudgetBalance {
  readonly accountId: number;
  /** Null for an account above those of keys. */
  readonly apiKeyId: number | null;
  /** Set for the account of a project. */
  readonly projectId: number | null;
  /** Where it counts. */
  readonly organizationId: number | null;
  /** An exact decimal. */
  readonly spentCents: string;
  readonly limitCents: number;
  /** ISO 8601; null for a budget that does not begin anew. */
  readonly periodStart: string | null;
}

/** Changes: facts that commit together with the data that they describe. */
export interface ChangeEvents extends TeamChangeEvents {
  'api_key.created': {
    readonly apiKeyId: number;
    readonly name: string;
    readonly scopes: readonly string[];
    /** Absent where the caller owns it. */
    readonly serviceAccountId?: number;
  };
  'api_key.updated': {
    readonly apiKeyId: number;
    readonly beforeValues: Values;
    readonly afterValues: Values;
  };
  'api_key.deleted': {
    readonly apiKeyId: number;
    readonly name: string;
  };
  /** Keys that ended together: `names` in the order of `apiKeyIds`. Each has an audit row of its own. */
  'api_keys.deleted': {
    readonly apiKeyIds: readonly number[];
    readonly names: readonly string[];
    readonly reason: 'owner_deleted' | 'parent_deleted';
  };
  /** Keys that were deactivated together: `names` in the order of `apiKeyIds`. Each has an audit row of its own. */
  'api_keys.deactivated': {
    readonly apiKeyIds: readonly number[];
    readonly names: readonly string[];
    readonly reason: 'owner_left';
  };
  'api_key.regenerated': {
    readonly apiKeyId: number;
    readonly name: string;
    readonly gracePeriodSeconds: number;
  };
  'api_key.secret_ended': {
    readonly apiKeyId: number;
    readonly name: string;
    readonly secretId: string;
    readonly keyPrefix: string | null;
  };
  'api_key.activated': { readonly apiKeyId: number; readonly name: string };
  'api_key.deactivated': { readonly apiKeyId: number; readonly name: string };
  /** The key and all that it created are in another project, or someone else's, from now on. */
  'api_key.transferred': {
    /** Where it was. */
    readonly organizationId: number;
    readonly apiKeyId: number;
    readonly name: string;
    readonly beforeValues: Values;
    readonly afterValues: Values;
  };
  'budget.threshold_reached': BudgetBalance & { readonly percent: number };
  'budget.exhausted': BudgetBalance;
  'usage.reversed': {
    readonly eventId: number;
    readonly apiKeyId: number;
    readonly requestId: string;
    /** An exact decimal. */
    readonly costCents: string;
    readonly occurredAt: string;
  };
  'user.created': {
    readonly userId: number;
    readonly username: string;
    readonly role: string;
    readonly permissions: readonly string[];
  };
  'user.updated': { readonly userId: number; readonly beforeValues: Values; readonly afterValues: Values };
  'user.deleted': { readonly userId: number; readonly username: string };
  'user.password_changed': { readonly userId: number };
  'organization.created': { readonly organizationId: number; readonly slug: string; readonly name: string };
  'organization.updated': {
    readonly organizationId: number;
    readonly beforeValues: Values;
    readonly afterValues: Values;
  };
  'organization.deleted': { readonly organizationId: number; readonly slug: string };
  'project.created': {
    readonly organizationId: number;
    readonly projectId: number;
    readonly slug: string;
    readonly name: string;
  };
  'project.updated': {
    readonly organizationId: number;
    readonly projectId: number;
    readonly beforeValues: Values;
    readonly afterValues: Values;
  };
  'scope_budget.updated': Place & { readonly beforeValues: Values; readonly afterValues: Values };
  'project.deleted': { readonly organizationId: number; readonly projectId: number; readonly slug: string };
  'member.added': Place & { readonly userId: number; readonly role: string };
  'member.updated': Place & {
    readonly userId: number;
    readonly beforeValues: Values;
    readonly afterValues: Values;
  };
  /** Without a project: from the organization and all its projects. */
  'member.removed': Place & { readonly userId: number };
  'policy.updated': Place & { readonly beforeValues: Values; readonly afterValues: Values };
  'session.opened': { readonly sessionId: string; readonly userId: number };
  'session.refreshed': { readonly sessionId: string; readonly userId: number };
  'session.closed': { readonly sessionId: string; readonly userId: number };
  'session.reuse_detected': { readonly sessionId: string; readonly userId: number };
}

/** Observations: reads and refusals, which change nothing but must be recorded before the response. */
export interface ObservationEvents extends TeamObservationEvents {
  'api_key.listed': {
    /** Absent where the page follows a cursor. */
    readonly page?: number;
    readonly cursor?: string;
    readonly size: number;
    /** Absent for newest first. */
    readonly sort?: string;
    readonly filters: Values;
  };
  'api_key.viewed': { readonly apiKeyId: number };
  'api_key.usage_viewed': { readonly apiKeyId: number };
  'api_key.usage_series_viewed': {
    readonly apiKeyId: number;
    readonly interval: string;
    readonly from: string;
    readonly to: string;
    readonly groupBy: string | null;
  };
  'usage.events_viewed': { readonly apiKeyId: number; readonly requestId: string };
  'usage.summary_viewed': { readonly filters: Values };
  'user.listed': { readonly page?: number; readonly cursor?: string; readonly size: number };
  'user.viewed': { readonly userId: number };
  'organization.listed': { readonly page?: number; readonly cursor?: string; readonly size: number };
  'organization.viewed': { readonly organizationId: number };
  'project.listed': {
    readonly organizationId: number | null;
    readonly page?: number;
    readonly cursor?: string;
    readonly size: number;
  };
  'scope_budget.viewed': Place;
  'project.viewed': { readonly organizationId: number; readonly projectId: number };
  'member.listed': Place & { readonly page?: number; readonly cursor?: string; readonly size: number };
  'policy.viewed': Place;
  /** A change of a policy that was tried and not made. */
  'policy.tried': Place & { readonly wouldBeRefused: number };
  'audit_log.listed': { readonly filters: Values };
  'audit_log.exported': { readonly filters: Values };
  /** Somebody gave another password than the current one to change their own. */
  'user.password_refused': { readonly userId: number };
  /** Attempts that the throttle refused, from `since` (ISO 8601) on; without a user where those of several are counted. */
  'user.password_throttled': {
    readonly userId: number | null;
    readonly count: number;
    readonly since: string;
  };
  /** `name` is the username where a user has it, else its digest. */
  'login.failed': { readonly name: Values };
  /** Attempts that the throttle refused, from `since` (ISO 8601) on; no name where the address may try no account. */
  'login.throttled': { readonly name: Values; readonly count: number; readonly since: string };
  /** With `count`, the row stands for that many more refusals since `since` (ISO 8601), and `resourceId` is null. */
  'access.refused': {
    readonly action: string;
    readonly resourceType: string;
    readonly resourceId: string | null;
    readonly reason?: string;
    readonly count?: number;
    readonly since?: string;
  };
}

/** Every event, by name. */
export type DomainEvents = ChangeEvents & ObservationEvents;
export type DomainEventName = keyof DomainEvents;

/** Where an event came from: the caller and the request. All null for the system itself. */
export interface EventOrigin {
  readonly userId: number | null;
  readonly apiKeyId: number | null;
  readonly ipAddress: string | null;
  readonly userAgent: string | null;
  readonly requestId: string | null;
  /** The organization that the event is about; null where there is none. */
  readonly organizationId: number | null;
}

/** One thing that happened. `isChange` tells a subscriber whether a transaction is open around it. */
export interface DomainEvent<Name extends DomainEventName = DomainEventName> {
  /** UUIDv7. */
  readonly id: string;
  readonly name: Name;
  readonly isChange: boolean;
  readonly occurredAt: Date;
  readonly origin: EventOrigin;
  readonly payload: DomainEvents[Name];
}
