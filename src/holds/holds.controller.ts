import { Controller, HttpCode, Param, Post, Req } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { RequirePermissionSomewhere } from '../auth/access.decorators.js';
import { type GuardedRequest, reporterAlsoNeeding, reporterOf } from '../auth/access.guard.js';
import { holdsAnywhere } from '../auth/scope.policy.js';
import { Clock } from '../common/clock.js';
import { Redactor } from '../common/redactor.js';
import { API_PATH } from '../contract/api-path.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { bodyErrors, checkedBody, JsonSchemaRoute } from '../contract/route-schema.js';
import { HoldIdParameter, toHoldResponse, toHoldTarget, toRefusal, toSettlement } from './holds.dto.js';
import {
  BUDGET_PROBLEM_SCHEMA,
  EXTENSION_SCHEMA,
  HOLD_CONFLICT_SCHEMA,
  HOLD_REQUEST_SCHEMA,
  HOLD_SCHEMA,
  SETTLEMENT_SCHEMA,
} from './holds.schema.js';
import { HoldsService } from './holds.service.js';

const ROUTE = { resourceType: 'budget_hold', isDataPlane: true } as const;
const PERMISSION = 'platform:usage:write';
/** The permission to release holds of other callers. */
const BUDGETS_PERMISSION = 'platform:budgets:update';
const HOLD_ANSWER = { content: { 'application/json': { schema: HOLD_SCHEMA as object } } };
const HOLD_ERRORS = ['budget_hold.not_found', 'budget_hold.conflict'] as const;

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
  @RequirePermissionSomewhere(PERMISSION)
  @Operation('create_budget_hold', {
    ...ROUTE,
    isDirect: true,
    summary: 'Set an amount of a budget aside',
    description:
      'Granted when what is spent and held stays within every limit that binds the key; 402 with a `reason` otherwise. No hold for a key that a verdict would refuse: 409 with its code as `verdict`. The hold is yours: others find none. The same `request_id` of the same caller is answered the same hold; with another amount: 409. A hold that is not settled expires.',
    errors: ['api_key.not_found', 'budget.refused', 'budget_hold.key_refused', 'budget_hold.conflict'],
    problems: {
      402: { schema: BUDGET_PROBLEM_SCHEMA },
      409: { schema: HOLD_CONFLICT_SCHEMA },
    },
  })
  @JsonSchemaRoute({ body: HOLD_REQUEST_SCHEMA, answer: HOLD_SCHEMA, status: 201 })
  async create(@Req() request: GuardedRequest): HoldAnswer {
    const target = toHoldTarget(
      request.body,
      bodyErrors(request),
      reporterOf(request, PERMISSION),
      this.redactor,
    );
    const outcome = await this.holds.take(target);
    if (outcome.kind === 'refused') throw toRefusal(outcome, this.clock.now());
    return toHoldResponse(outcome, this.clock.now());
  }

  @Post(':id/settle')
  @HttpCode(200)
  @RequirePermissionSomewhere(PERMISSION)
  @Operation('settle_budget_hold', {
    ...ROUTE,
    summary: 'Replace a hold by what was really spent',
    description:
      'Records a usage event, of which only `cost_cents` is needed; its request id is `hold:<id>` by default. The cost is recorded in full, also beyond the amount and after the hold has expired. Again with the same cost: the same answer; with another one, or after a release: 409.',
    errors: HOLD_ERRORS,
  })
  @ApiBody({ schema: SETTLEMENT_SCHEMA as object })
  @ApiOkResponse(HOLD_ANSWER)
  async settle(@Param() { id }: HoldIdParameter, @Req() request: GuardedRequest): HoldAnswer {
    const settlement = toSettlement(request.body, id, this.clock.now(), this.redactor);
    const settled = await this.holds.settle(settlement, reporterOf(request, PERMISSION));
    return toHoldResponse(settled, this.clock.now());
  }

  @Post(':id/release')
  @HttpCode(200)
  @RequirePermissionSomewhere(PERMISSION, BUDGETS_PERMISSION)
  @NoBody()
  @Operation('release_budget_hold', {
    ...ROUTE,
    summary: 'Give a hold back',
    description:
      'Nothing was spent. Idempotent; 409 when it is settled. With `platform:budgets:update` also holds that others took; an API key none that count in its own budget.',
    errors: HOLD_ERRORS,
  })
  @ApiOkResponse(HOLD_ANSWER)
  async release(@Param() { id }: HoldIdParameter, @Req() request: GuardedRequest): HoldAnswer {
    const { principal } = request;
    const mayReleaseAny = principal !== undefined && holdsAnywhere(principal, BUDGETS_PERMISSION);
    const released = mayReleaseAny
      ? await this.holds.releaseAny(
          id,
          principal,
          reporterOf(request, PERMISSION),
          reporterAlsoNeeding(request, BUDGETS_PERMISSION),
        )
      : await this.holds.release(id, reporterOf(request, PERMISSION));
    return toHoldResponse(released, this.clock.now());
  }

  @Post(':id/extend')
  @HttpCode(200)
  @RequirePermissionSomewhere(PERMISSION)
  @Operation('extend_budget_hold', {
    ...ROUTE,
    summary: 'Hold for longer',
    description: 'At least for so long from now; a hold is never shortened. 409 when it is held no more.',
    errors: HOLD_ERRORS,
  })
  @JsonSchemaRoute({ body: EXTENSION_SCHEMA, answer: HOLD_SCHEMA })
  async extend(@Param() { id }: HoldIdParameter, @Req() request: GuardedRequest): HoldAnswer {
    const { ttl_seconds: ttlSeconds } = checkedBody<{ ttl_seconds: number }>(request);
    const extended = await this.holds.extend(id, ttlSeconds, reporterOf(request, PERMISSION));
    return toHoldResponse(extended, this.clock.now());
  }
}
