import { Controller, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { ApiKeyIdParameter } from '../api-keys/api-keys.dto.js';
import { CurrentPrincipal, OwnerOrPermission, RequirePermission } from '../auth/access.decorators.js';
import type { Principal } from '../auth/principal.js';
import { API_PATH } from '../contract/api-path.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import {
  RecordedEventResponse,
  RecordedEventsResponse,
  toRecordedEventResponse,
  UsageEventIdParameter,
  UsageEventsQuery,
} from './usage-events.dto.js';
import { UsageEvents } from './usage-events.queries.js';
import { UsageReversals } from './usage-reversals.service.js';

@ApiTags('Usage')
@Controller(API_PATH)
export class UsageEventsController {
  constructor(
    private readonly events: UsageEvents,
    private readonly reversals: UsageReversals,
  ) {}

  @Get('api-keys/:id/usage/events')
  @OwnerOrPermission('platform:api-keys:read')
  @Operation('get_usage_events', {
    resourceType: 'api_key',
    summary: 'Look an event up by its request id',
    description:
      'What was recorded of a key under a request id, in the last 31 days at least: one event for each caller who reported one. Its `id` is what a reversal needs.',
    errors: ['api_key.not_found'],
  })
  @ApiOkResponse({ type: RecordedEventsResponse })
  async getUsageEvents(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: ApiKeyIdParameter,
    @Query() { request_id: requestId }: UsageEventsQuery,
  ): Promise<RecordedEventsResponse> {
    const events = await this.events.find(principal, id, requestId);
    return { usage_events: events.map(toRecordedEventResponse) };
  }

  @Post('usage/:id/reversal')
  @HttpCode(200)
  @RequirePermission('platform:budgets:update')
  @NoBody()
  @Operation('reverse_usage_event', {
    resourceType: 'usage_event',
    summary: 'Take a wrong event back',
    description:
      'Takes it out of the statistics of its hour and its key, and out of what its budgets have spent, when it was charged to the period that still runs. Idempotent. The event stays, marked; its request id stays taken: report what is right under another one. An API key takes nothing back that counts in its own budget.',
    errors: ['usage_event.not_found'],
  })
  @ApiOkResponse({ type: RecordedEventResponse })
  async reverse(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: UsageEventIdParameter,
  ): Promise<RecordedEventResponse> {
    return toRecordedEventResponse(await this.reversals.reverse(principal, id));
  }
}
