import { Controller, HttpCode, Post, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { RequirePermissionSomewhere } from '../auth/access.decorators.js';
import { type GuardedRequest, reporterAlsoNeeding, type RequestReporter } from '../auth/access.guard.js';
import { commonReach, type Reach, reachOf } from '../auth/reach.js';
import { requireAnywhere } from '../auth/scope.policy.js';
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

const PERMISSION = 'platform:api-keys:verify';
const READ_PERMISSION = 'platform:api-keys:read';
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
  @RequirePermissionSomewhere(PERMISSION)
  @Operation('verify_api_key', {
    ...ROUTE,
    summary: 'Ask whether a key may do something now',
    description:
      'Always 200 for a verdict, whichever it is. Checks come in the order of the codes; a refused call consumes nothing.',
  })
  @JsonSchemaRoute({ body: VERIFY_REQUEST_SCHEMA, answer: VERDICT_SCHEMA })
  verify(@Req() request: GuardedRequest): VerdictAnswer {
    const body = checkedBody<VerifyBody>(request, verifyItemErrors);
    const reach = reachFor(request, body);
    return this.#answer(body, toVerdictRequest(body, holderOf(request, isHolding(body))), reach);
  }

  @Post('verify/batch')
  @HttpCode(200)
  @RequirePermissionSomewhere(PERMISSION)
  @Operation('verify_api_keys', {
    ...ROUTE,
    summary: 'Ask up to 100 times at once',
    description: 'One verdict per request, in their order; each is judged and consumes on its own.',
    bodyLimit: 1_048_576,
  })
  @JsonSchemaRoute({ body: VERIFY_BATCH_REQUEST_SCHEMA, answer: VERDICTS_SCHEMA })
  async verifyBatch(@Req() request: GuardedRequest): Promise<{ verdicts: unknown[] }> {
    const { requests } = checkedBody<{ requests: VerifyBody[] }>(request, batchErrors);
    const reaches = requests.map((body) => reachFor(request, body));
    // All requests are checked before the first is judged: a broken one must not let the others consume.
    const asked = toBatch(requests, holderOf(request, requests.some(isHolding))).map((item, index) => ({
      ...item,
      reach: reaches[index],
    }));
    // Explanations consume nothing, so they come first: when one fails, nothing was consumed.
    const explanations = await Promise.all(
      asked
        .filter(({ isExplained }) => isExplained)
        .map(({ secret, request: item, reach }) => this.explanations.explain(secret, item, reach)),
    );
    const verdicts = await this.verification.verifyAll(asked.filter(({ isExplained }) => !isExplained));
    const explained = explanations.map(toExplanationResponse);
    const judged = verdicts.map(toVerdictResponse);
    return { verdicts: asked.map(({ isExplained }) => (isExplained ? explained : judged).shift()) };
  }

  #answer({ key, explain }: VerifyBody, wanted: VerdictRequest, reach: Reach): VerdictAnswer {
    if (explain) return this.explanations.explain(key, wanted, reach).then(toExplanationResponse);
    const verdict = this.verification.verify(key, wanted, reach);
    return verdict instanceof Promise ? verdict.then(toVerdictResponse) : toVerdictResponse(verdict);
  }
}

/**
 * The keys that a caller may ask this about. An explanation shows the policy of the key, so who asks must be allowed to
 * read it; a hold writes.
 */
function reachFor({ principal }: GuardedRequest, { explain, hold_cents: holdCents }: VerifyBody): Reach {
  if (principal === undefined) throw new Error('A route that asks about keys must declare an access rule.');
  const reach = reachOf(principal, PERMISSION);
  if (!explain && holdCents === undefined) return reach;
  const needed = [
    ...(explain ? [READ_PERMISSION] : []),
    ...(holdCents === undefined ? [] : [HOLD_PERMISSION]),
  ];
  for (const permission of needed) requireAnywhere(principal, permission);
  return needed.map((permission) => reachOf(principal, permission)).reduce(commonReach, reach);
}

function isHolding({ hold_cents: holdCents }: VerifyBody): boolean {
  return holdCents !== undefined;
}

/** Whose the holds of a request will be; undefined when it asks for none, as nearly all do. */
function holderOf(request: GuardedRequest, asksToHold: boolean): RequestReporter | undefined {
  return asksToHold ? reporterAlsoNeeding(request, HOLD_PERMISSION) : undefined;
}
