import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { RequirePermission } from '../auth/access.decorators.js';
import { type GuardedRequest, reporterOf, type RequestReporter } from '../auth/access.guard.js';
import { requirePermission } from '../auth/access.policy.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { checkedBody, JsonSchemaRoute } from '../contract/route-schema.js';
import { Explanations } from './explanations.service.js';
import { batchErrors, verifyItemErrors, toBatch, toVerdictRequest } from './verify-request.js';
import { VerificationService } from './verification.service.js';
import type { VerdictRequest } from './verdict.js';
import {
  toExplanationResponse,
  toVerdictResponse,
  VERDICT_SCHEMA,
  VERDICTS_SCHEMA,
  VERIFY_BATCH_REQUEST_SCHEMA,
  VERIFY_REQUEST_SCHEMA,
  type VerifyBody,
} from './verify.schema.js';

const ROUTE = { resourceType: 'api_key', isDataPlane: true, isDirect: true } as const;

const HOLD_PERMISSION = 'platform:usage:write';

type VerdictAnswer = Record<string, unknown> | Promise<Record<string, unknown>>;

@ApiTags('Verification')
@Controller(`${API_PATH}/api-keys`)
export class VerifyController {
  constructor(
    private readonly verification: VerificationService,
    private readonly explanations: Explanations,
  ) {}

  @Post('verify')
  @HttpCode(200)
  @RequirePermission('platform:api-keys:verify')
  @Operation('verify_api_key', {
    ...ROUTE,
    summary: 'Ask whether a key may do something now',
    description:
      'Always 200 for a verdict, whichever it is. Checks come in the order of the codes; a refused call consumes nothing.',
  })
  @JsonSchemaRoute({ body: VERIFY_REQUEST_SCHEMA, answer: VERDICT_SCHEMA })
  verify(@Req() request: GuardedRequest): VerdictAnswer {
    const body = checkedBody<VerifyBody>(request, verifyItemErrors);
    requireFor(request, body);
    return this.#answer(body, toVerdictRequest(body, holderOf(request, isHolding(body))));
  }

  @Post('verify/batch')
  @HttpCode(200)
  @RequirePermission('platform:api-keys:verify')
  @Operation('verify_api_keys', {
    ...ROUTE,
    summary: 'Ask up to 100 times at once',
    description: 'One verdict per request, in their order; each is judged and consumes on its own.',
    bodyLimit: 1_048_576,
  })
  @JsonSchemaRoute({ body: VERIFY_BATCH_REQUEST_SCHEMA, answer: VERDICTS_SCHEMA })
  async verifyBatch(@Req() request: GuardedRequest): Promise<{ verdicts: unknown[] }> {
    const { requests } = checkedBody<{ requests: VerifyBody[] }>(request, batchErrors);
    for (const body of requests) requireFor(request, body);
    // All requests are checked before the first is judged: a broken one must not let the others consume.
    const asked = toBatch(requests, holderOf(request, requests.some(isHolding)));
    // Explanations consume nothing, so they come first: when one fails, nothing was consumed.
    const explanations = await Promise.all(
      asked
        .filter(({ isExplained }) => isExplained)
        .map(({ secret, request: item }) => this.explanations.explain(secret, item)),
    );
    const verdicts = await this.verification.verifyAll(asked.filter(({ isExplained }) => !isExplained));
    const explained = explanations.map(toExplanationResponse);
    const judged = verdicts.map(toVerdictResponse);
    return { verdicts: asked.map(({ isExplained }) => (isExplained ? explained : judged).shift()) };
  }

  #answer({ key, explain }: VerifyBody, wanted: VerdictRequest): VerdictAnswer {
    if (explain) return this.explanations.explain(key, wanted).then(toExplanationResponse);
    const verdict = this.verification.verify(key, wanted);
    return verdict instanceof Promise ? verdict.then(toVerdictResponse) : toVerdictResponse(verdict);
  }
}

/** An explanation shows the policy of the key, so who asks must be allowed to read it; a hold writes. */
function requireFor({ principal }: GuardedRequest, { explain, hold_cents: holdCents }: VerifyBody): void {
  if (principal === undefined) return;
  if (explain) requirePermission(principal, 'platform:api-keys:read');
  if (holdCents !== undefined) requirePermission(principal, HOLD_PERMISSION);
}

function isHolding({ hold_cents: holdCents }: VerifyBody): boolean {
  return holdCents !== undefined;
}

/** Whose the holds of a request will be; undefined when it asks for none, as nearly all do. */
function holderOf(request: GuardedRequest, asksToHold: boolean): RequestReporter | undefined {
  return asksToHold ? reporterOf(request, HOLD_PERMISSION) : undefined;
}
