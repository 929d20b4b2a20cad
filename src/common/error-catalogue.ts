interface CatalogueRow {
  readonly status: number;
  readonly title: string;
}

/**
 * Every error this service answers: stable code → HTTP status and title. Each row has a page
 * `docs/errors/<code>.md`, which is served at `/errors/<code>`, the `type` of the problem document.
 */
export const ERROR_CATALOGUE = {
  'request.malformed': { status: 400, title: 'The request could not be read' },
  'request.route_not_found': { status: 404, title: 'No such route' },
  'request.method_not_allowed': { status: 405, title: 'The route does not answer this method' },
  'request.not_acceptable': { status: 406, title: 'No acceptable representation' },
  'request.timeout': { status: 408, title: 'The request took too long to arrive' },
  'request.body_too_large': { status: 413, title: 'The request body is too large' },
  'request.uri_too_long': { status: 414, title: 'The request address is too long' },
  'request.media_type_unsupported': { status: 415, title: 'The request body has an unsupported media type' },
  'request.too_many_at_once': { status: 429, title: 'Too many expensive requests are under way' },
  'request.headers_too_large': { status: 431, title: 'The request headers are too large' },
  'validation.failed': { status: 422, title: 'The request is not valid' },
  'auth.credential_missing': { status: 401, title: 'A credential is needed' },
  'auth.credential_ambiguous': { status: 400, title: 'More than one credential was sent' },
  'auth.credential_invalid': { status: 401, title: 'The credential is not valid' },
  'auth.login_failed': { status: 401, title: 'The login failed' },
  'auth.refresh_token_invalid': { status: 401, title: 'The refresh token is not valid' },
  'auth.too_many_failures': { status: 429, title: 'Too many wrong passwords' },
  'permission.denied': { status: 403, title: 'Not allowed' },
  'user.not_found': { status: 404, title: 'User not found' },
  'user.username_taken': { status: 409, title: 'The username is taken' },
  'user.last_admin': { status: 409, title: 'The last active admin must remain' },
  'organization.not_found': { status: 404, title: 'Organization not found' },
  'organization.slug_taken': { status: 409, title: 'The slug or the external id is taken' },
  'organization.not_empty': { status: 409, title: 'The organization still has projects' },
  'organization.is_default': { status: 409, title: 'The default organization must remain' },
  'organization.last_owner': { status: 409, title: 'The last owner of the organization must remain' },
  'organization.version_mismatch': { status: 412, title: 'The organization has changed since it was read' },
  'project.not_found': { status: 404, title: 'Project not found' },
  'project.slug_taken': { status: 409, title: 'The slug or the external id is taken' },
  'project.not_empty': { status: 409, title: 'The project still has API keys or service accounts' },
  'project.is_default': { status: 409, title: 'The default project must remain' },
  'project.inactive': { status: 409, title: 'The project or its organization is disabled' },
  'project.version_mismatch': { status: 412, title: 'The project has changed since it was read' },
  'member.not_found': { status: 404, title: 'Member not found' },
  'member.exists': { status: 409, title: 'The user is a member already' },
  'policy.version_mismatch': { status: 412, title: 'The policy has changed since it was read' },
  'policy.too_many_keys': { status: 409, title: 'The policy allows no further key' },
  'service_account.not_found': { status: 404, title: 'Service account not found' },
  'service_account.name_taken': { status: 409, title: 'The name is taken' },
  'service_account.inactive': { status: 409, title: 'The service account is disabled' },
  'invitation.not_found': { status: 404, title: 'Invitation not found' },
  'api_key.not_found': { status: 404, title: 'API key not found' },
  'api_key.version_mismatch': { status: 412, title: 'The API key has changed since it was read' },
  'api_key.too_many_ancestors': { status: 409, title: 'The API key has too many ancestors' },
  'api_key.has_parent': { status: 409, title: 'The API key belongs to the key that created it' },
  'api_key.expired': { status: 409, title: 'The API key has expired' },
  'api_key.too_many_secrets': { status: 409, title: 'Too many secrets of the API key are retiring' },
  'api_key.secret_not_found': { status: 404, title: 'The API key has no such secret' },
  'api_key.secret_in_use': { status: 409, title: 'The current secret cannot be ended alone' },
  'budget.refused': { status: 402, title: 'The budget has no room for the amount' },
  'budget_hold.not_found': { status: 404, title: 'Hold not found' },
  'budget_hold.conflict': { status: 409, title: 'The hold conflicts with this request' },
  'usage_event.not_found': { status: 404, title: 'Usage event not found' },
  'budget_hold.key_refused': { status: 409, title: 'The API key may not be used' },
  'verdict.not_authenticated': { status: 401, title: 'The API key is not valid' },
  'verdict.budget_exceeded': { status: 402, title: 'The budget of the API key is used up' },
  'verdict.not_allowed': { status: 403, title: 'The API key may not do this' },
  'verdict.rate_limited': { status: 429, title: 'The rate limit of the API key is reached' },
  'idempotency.in_progress': {
    status: 409,
    title: 'The first request with this Idempotency-Key is still running',
  },
  'idempotency.key_reused': { status: 422, title: 'The Idempotency-Key was used for a different request' },
  'service.unavailable': { status: 503, title: 'A dependency is unavailable' },
  'service.overloaded': { status: 503, title: 'The service is overloaded' },
  'internal.error': { status: 500, title: 'Something went wrong' },
} as const satisfies Record<string, CatalogueRow>;

/** A stable, machine-readable error name. */
export type ErrorCode = keyof typeof ERROR_CATALOGUE;

/** True when `value` names a row of the catalogue. */
export function isErrorCode(value: string): value is ErrorCode {
  return Object.hasOwn(ERROR_CATALOGUE, value);
}
