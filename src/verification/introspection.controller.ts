import { Body, Controller, Header, HttpCode, Post } from '@nestjs/common';
import { ApiBody, ApiConsumes, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { KeySnapshot } from '../api-keys/snapshot.js';
import { RequirePermission } from '../auth/access.decorators.js';
import { API_PATH } from '../http/api-path.js';
import { Operation } from '../http/operation.js';
import { INTROSPECTION_SCHEMA, IntrospectionDto } from './introspection.dto.js';
import { scopeList } from './scope-list.js';
import type { RateLimitPolicy } from '../rate-limits/rate-windows.policy.js';
import { VerificationService } from './verification.service.js';

/** RFC 7662: whether a key is active, and what it is, for services that speak OAuth. */
@ApiTags('Verification')
@Controller(`${API_PATH}/introspect`)
export class IntrospectionController {
  constructor(private readonly verification: VerificationService) {}

  @Post()
  @HttpCode(200)
  @RequirePermission('platform:api-keys:verify')
  @Operation('introspect_api_key', {
    summary: 'Ask whether a key is active (RFC 7662)',
    description:
      'Judges the state of the key and its owner only and takes nothing. Anything else is `{"active": false}`.',
    resourceType: 'api_key',
    isDataPlane: true,
    isForm: true,
  })
  @ApiConsumes('application/x-www-form-urlencoded', 'application/json')
  @ApiBody({ type: IntrospectionDto })
  @ApiOkResponse({ content: { 'application/json': { schema: INTROSPECTION_SCHEMA } } })
  @Header('cache-control', 'no-store')
  async introspect(@Body() { token }: IntrospectionDto): Promise<Record<string, unknown>> {
    const snapshot = await this.verification.findActive(token);
    return snapshot === undefined || admitsNothing(snapshot) ? { active: false } : describe(snapshot);
  }
}

/**
 * A key and its ancestors together may allow nothing at all. An empty list would mean "anything", so such a key is shown
 * as not active.
 */
function admitsNothing({ addresses, models, chatbots }: KeySnapshot): boolean {
  return [addresses?.entries, models?.patterns, chatbots?.patterns].some((list) => list?.length === 0);
}

/** The smallest limit of the line. */
function leastLimit({ rateLimits, line }: KeySnapshot, window: keyof RateLimitPolicy): number | null {
  const limits = line?.map((key) => key.rateLimits[window]) ?? [rateLimits[window]];
  const set = limits.filter((limit) => limit !== null);
  return set.length === 0 ? null : Math.min(...set);
}

function describe(snapshot: KeySnapshot): Record<string, unknown> {
  const endsAtMs = Math.min(snapshot.expiresAtMs, snapshot.retiresAtMs);
  return {
    active: true,
    scope: scopeList(snapshot.scopes),
    client_id: String(snapshot.apiKeyId),
    sub: String(snapshot.userId),
    username: snapshot.username,
    ...(Number.isFinite(endsAtMs) ? { exp: Math.floor(endsAtMs / 1000) } : {}),
    iat: Math.floor(snapshot.createdAtMs / 1000),
    token_type: 'Bearer',
    tags: snapshot.tags,
    allowed_ips: snapshot.addresses?.entries ?? [],
    allowed_models: snapshot.models?.patterns ?? [],
    allowed_chatbots: snapshot.chatbots?.patterns ?? [],
    rate_limit_per_minute: leastLimit(snapshot, 'perMinute'),
    rate_limit_per_hour: leastLimit(snapshot, 'perHour'),
    rate_limit_per_day: leastLimit(snapshot, 'perDay'),
  };
}
