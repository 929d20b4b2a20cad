import { Controller, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { RequirePermission } from '../auth/access.decorators.js';
import type { GuardedRequest } from '../auth/access.guard.js';
import { Clock } from '../common/clock.js';
import { Redactor } from '../common/redactor.js';
import { API_PATH } from '../http/api-path.js';
import { NoBody } from '../http/no-body.js';
import { Operation } from '../http/operation.js';
import { bodyErrors, checkedBody, JsonSchemaRoute } from '../http/route-schema.js';
import {
  EXTENSION_SCHEMA,
  HOLD_REQUEST_SCHEMA,
  HOLD_SCHEMA,
  HoldIdParameter,
  SETTLEMENT_SCHEMA,
  toHoldResponse,
  toHoldTarget,
  toRefusal,
  toSettlement,
} from './holds.dto.js';
import { HoldsService } from './holds.service.js';

const ROUTE = { resourceType: 'budget_hold', isDataPlane: true } as const;
const PERMISSION = 'platform:usage:write';
const HOLD_ANSWER = { content: { 'application/json': { schema: HOLD_SCHEMA as object } } };

type HoldAnswer = Promise<Record<string, unknown>>;

@ApiTags('Budget holds')
@Controller(`${API_PATH}/budget-holds`)
export class HoldsController {
  constructor(
    private readonly holds: HoldsService,
    private readonly clock: Clock,
    private readonly redactor: Redactor,
  ) {}

  @Post()
  @RequirePermission(PERMISSION)
  @Operation('create_budget_hold', {
    ...ROUTE,
    isDirect: true,
    summary: 'Set an amount of a budget aside',
    description:
      'Granted when what is spent and held stays within every limit that binds the key; 402 with a `reason` otherwise. The same `request_id` is answered the same hold. A hold that is not settled lapses.',
  })
  @JsonSchemaRoute({ body: HOLD_REQUEST_SCHEMA, answer: HOLD_SCHEMA, status: 201 })
  async create(@Req() request: GuardedRequest): HoldAnswer {
    const outcome = await this.holds.take(toHoldTarget(request.body, bodyErrors(request), this.redactor));
    if (outcome.kind === 'refused') throw toRefusal(outcome, this.clock.now());
    return toHoldResponse(outcome, this.clock.now());
  }

  @Post(':id/settle')
  @HttpCode(200)
  @RequirePermission(PERMISSION)
  @Operation('settle_budget_hold', {
    ...ROUTE,
    summary: 'Replace a hold by what was really spent',
    description:
      'Records a usage event, of which only `cost_cents` is needed; its request id is `hold:<id>` unless told. The cost is recorded in full, also beyond the amount and after the hold has lapsed. Again with the same cost: the same answer; with another one, or after a release: 409.',
  })
  @ApiBody({ schema: SETTLEMENT_SCHEMA as object })
  @ApiOkResponse(HOLD_ANSWER)
  async settle(@Param() { id }: HoldIdParameter, @Req() { body }: GuardedRequest): HoldAnswer {
    const settled = await this.holds.settle(toSettlement(body, id, this.clock.now(), this.redactor));
    return toHoldResponse(settled, this.clock.now());
  }

  @Post(':id/release')
  @HttpCode(200)
  @RequirePermission(PERMISSION)
  @NoBody()
  @Operation('release_budget_hold', {
    ...ROUTE,
    summary: 'Give a hold back',
    description: 'Nothing was spent. Idempotent; 409 when it is settled.',
  })
  @ApiOkResponse(HOLD_ANSWER)
  async release(@Param() { id }: HoldIdParameter): HoldAnswer {
    return toHoldResponse(await this.holds.release(id), this.clock.now());
  }

  @Post(':id/extend')
  @HttpCode(200)
  @RequirePermission(PERMISSION)
  @Operation('extend_budget_hold', {
    ...ROUTE,
    summary: 'Hold for longer',
    description: 'At least for so long from now; a hold is never shortened. 409 when it is held no more.',
  })
  @JsonSchemaRoute({ body: EXTENSION_SCHEMA, answer: HOLD_SCHEMA })
  async extend(@Param() { id }: HoldIdParameter, @Req() request: GuardedRequest): HoldAnswer {
    const { ttl_seconds: ttlSeconds } = checkedBody<{ ttl_seconds: number }>(request);
    return toHoldResponse(await this.holds.extend(id, ttlSeconds), this.clock.now());
  }
}
