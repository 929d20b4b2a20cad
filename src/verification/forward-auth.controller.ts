import { Controller, Get, Query, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiOkResponse, ApiSecurity, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { CachedKey } from '../api-keys/cached-key.js';
import { presentedCredential } from '../auth/credentials.js';
import { AppError } from '../common/app-error.js';
import { Config } from '../config/config.js';
import { API_PATH } from '../contract/api-path.js';
import { ClientAddresses } from '../http/client-address.service.js';
import { Operation } from '../contract/operation.js';
import { Public } from '../contract/public.decorator.js';
import { RATE_LIMIT_HEADERS } from '../contract/response-headers.js';
import { rateLimitHeaders } from '../rate-limits/rate-limit-headers.js';
import { ForwardAuthQuery } from './forward-auth.dto.js';
import { refusalOf } from './forward-auth.policy.js';
import { headerText, scopeList } from './scope-list.js';
import { VerificationService } from './verification.service.js';
import { VERDICT_CODE_SCHEMA, VERDICT_PROBLEM_SCHEMA } from './verify.schema.js';

const NO_SECRET = '';
/** The key that is judged is the caller. */
const ANY_KEY = undefined;
const CODE_HEADER = {
  'X-Api-Key-Code': { description: 'The code of the verdict.', schema: VERDICT_CODE_SCHEMA },
} as const;
const HEADERS = {
  'X-Api-Key-Id': { description: 'The id of the key.', schema: { type: 'string' } },
  'X-Api-Key-Name': { description: 'The name of the key, percent-encoded.', schema: { type: 'string' } },
  'X-Api-Key-User-Id': { description: 'The id of its owner.', schema: { type: 'string' } },
  'X-Api-Key-Scopes': { description: 'Its scopes, separated by spaces.', schema: { type: 'string' } },
  ...CODE_HEADER,
  ...RATE_LIMIT_HEADERS,
};
const REFUSAL = { schema: VERDICT_PROBLEM_SCHEMA, headers: { ...CODE_HEADER, ...RATE_LIMIT_HEADERS } };

/**
 * Forward authentication: a gateway sends the request it is about to pass on, without its body, and passes it on only
 * when the answer is 200. The credential of that request is the only one there is.
 */
@ApiTags('Verification')
@Controller(`${API_PATH}/forward-auth`)
export class ForwardAuthController {
  readonly #apiKeyPrefixes: readonly string[];

  constructor(
    config: Config,
    private readonly verification: VerificationService,
    private readonly addresses: ClientAddresses,
  ) {
    this.#apiKeyPrefixes = config.apiKeyPrefixes;
  }

  @Get()
  @Public()
  @Operation('forward_auth', {
    summary: 'Let a gateway ask whether to pass a request on',
    description:
      'For nginx `auth_request`, Caddy `forward_auth`, Traefik and others. Judges the API key of the request itself, from the trusted client address.',
    resourceType: 'api_key',
    isDataPlane: true,
    errors: [
      'auth.credential_ambiguous',
      'verdict.not_authenticated',
      'verdict.budget_exceeded',
      'verdict.not_allowed',
      'verdict.rate_limited',
    ],
    problems: { 401: REFUSAL, 402: REFUSAL, 403: REFUSAL, 429: REFUSAL },
  })
  @ApiBearerAuth('accessToken')
  @ApiSecurity('apiKeyHeader')
  @ApiOkResponse({ description: 'Pass it on.', headers: HEADERS })
  async forwardAuth(
    @Req() request: FastifyRequest,
    @Query() query: ForwardAuthQuery,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<void> {
    const secret = this.#secretOf(request);
    const ip = this.addresses.of(request.raw);
    const asked = { ip, names: query, scopes: query.scope ?? [], cost: 1 };
    const verdict = await this.verification.verify(secret, asked, ANY_KEY);
    const limits = verdict.code === 'NOT_FOUND' ? {} : rateLimitHeaders(verdict.windows, verdict.nowMs);
    if (verdict.code !== 'VALID') throw refusalOf(verdict, limits);
    void reply.headers({ ...limits, ...identityOf(verdict.cachedKey) });
  }

  /** The secret of the request. What is no API key is judged like one: nobody has it. */
  #secretOf({ headers }: FastifyRequest): string {
    try {
      const credential = presentedCredential(headers, this.#apiKeyPrefixes);
      return credential.kind === 'api_key' ? credential.secret.reveal() : NO_SECRET;
    } catch (error) {
      if (error instanceof AppError && error.status === 401) return NO_SECRET;
      throw error;
    }
  }
}

/** Who the request comes from, for the service behind the gateway. */
function identityOf({ apiKeyId, name, userId, scopes }: CachedKey): Record<string, string> {
  return {
    'x-api-key-id': String(apiKeyId),
    'x-api-key-name': headerText(name),
    'x-api-key-user-id': String(userId),
    'x-api-key-scopes': scopeList(scopes),
    'x-api-key-code': 'VALID',
  };
}
