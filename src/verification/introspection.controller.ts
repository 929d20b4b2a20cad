import { Body, Controller, Header, HttpCode, Post } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { CachedKey } from '../api-keys/cached-key.js';
import { CurrentPrincipal, RequirePermissionSomewhere } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { reachOf } from '../auth/reach.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { INTROSPECTION_SCHEMA, IntrospectionDto } from './introspection.dto.js';
import { NAMED_RESTRICTIONS } from './named-restrictions.js';
import { scopeList } from './scope-list.js';
import type { RateLimitPolicy } from '../rate-limits/rate-windows.policy.js';
import { VerificationService } from './verification.service.js';

const PERMISSION = 'platform:api-keys:verify';

/** RFC 7662: whether a key is active, and what it is, for services that speak OAuth. */
@ApiTags('Verification')
@Controller(`${API_PATH}/introspect`)
export class IntrospectionController {
  constructor(private readonly verification: VerificationService) {}

  @Post()
  @HttpCode(200)
  @RequirePermissionSomewhere(PERMISSION)
  @Operation('introspect_api_key', {
    summary: 'Ask whether a key is active (RFC 7662)',
    description:
      'Judges the state of the key and its owner only and consumes nothing. Anything else is `{"active": false}`.',
    resourceType: 'api_key',
    isDataPlane: true,
    isForm: true,
  })
  // JSON is read as well. The document names one type, since many generators send the first or refuse two.
  @ApiConsumes('application/x-www-form-urlencoded')
  @ApiBody({ type: IntrospectionDto })
  @ApiOkResponse({ content: { 'application/json': { schema: INTROSPECTION_SCHEMA as object } } })
  @Header('cache-control', 'no-store')
  async introspect(
    @CurrentPrincipal() principal: Principal,
    @Body() { token }: IntrospectionDto,
  ): Promise<Record<string, unknown>> {
    const cachedKey = await this.verification.findActive(token, reachOf(principal, PERMISSION));
    if (cachedKey === undefined) return { active: false };
    const lists = listsOf(cachedKey);
    // A key and its ancestors together may allow nothing at all, which an empty list in the answer would not say.
    return lists.some(([, entries]) => entries?.length === 0)
      ? { active: false }
      : describe(cachedKey, lists);
  }
}

/** What the key may be used from and for, by the names of its fields. An empty list allows nothing, an absent one anything. */
function listsOf(cachedKey: CachedKey): [field: string, entries: readonly string[] | undefined][] {
  return [
    ['allowed_ips', cachedKey.addresses?.entries],
    ...NAMED_RESTRICTIONS.map(({ index, field }): [string, readonly string[] | undefined] => [
      field,
      cachedKey.names[index]?.patterns,
    ]),
  ];
}

/** The smallest limit of the line. */
function leastLimit({ rateLimits, line }: CachedKey, window: keyof RateLimitPolicy): number | null {
  const limits = line?.map((key) => key.rateLimits[window]) ?? [rateLimits[window]];
  const set = limits.filter((limit) => limit !== null);
  return set.length === 0 ? null : Math.min(...set);
}

function describe(cachedKey: CachedKey, lists: ReturnType<typeof listsOf>): Record<string, unknown> {
  const endsAtMs = Math.min(cachedKey.expiresAtMs, cachedKey.retiresAtMs);
  return {
    active: true,
    scope: scopeList(cachedKey.scopes),
    client_id: String(cachedKey.apiKeyId),
    sub: String(cachedKey.userId),
    username: cachedKey.username,
    ...(Number.isFinite(endsAtMs) ? { exp: Math.floor(endsAtMs / 1000) } : {}),
    iat: Math.floor(cachedKey.createdAtMs / 1000),
    token_type: 'Bearer',
    tags: cachedKey.tags,
    ...Object.fromEntries(lists.map(([field, entries = []]) => [field, entries])),
    rate_limit_per_minute: leastLimit(cachedKey, 'perMinute'),
    rate_limit_per_hour: leastLimit(cachedKey, 'perHour'),
    rate_limit_per_day: leastLimit(cachedKey, 'perDay'),
  };
}
