import { type FieldError, validationFailed } from '../common/app-error.js';
import { normaliseAddress } from '../common/ip-address.js';
import { parseCents } from '../common/money.js';
import type { VerdictHold, VerdictRequest } from './verdict.js';
import type { VerifyBody } from './verify.schema.js';

const NO_SCOPES: readonly string[] = [];
/** What the addresses of connections may have and a question may not: spaces, and zones with more than a name. */
const NO_ADDRESS = /\s|%.*[^\w.-]/;

/**
 * A question as it is judged; `path` is where it stands in the body.
 * @throws AppError `validation.failed` for an address that is none, and for a hold that cannot be
 */
export function toVerdictRequest(body: VerifyBody, path: string): VerdictRequest {
  const { ip, model, chatbot, scopes = NO_SCOPES, cost } = body;
  const address = ip === undefined || NO_ADDRESS.test(ip) ? undefined : normaliseAddress(ip);
  const asksToHold = body.hold_cents !== undefined || body.hold_ttl_seconds !== undefined;
  const hold = asksToHold ? holdOf(body) : undefined;
  const errors: FieldError[] = Array.isArray(hold) ? hold : [];
  if (ip !== undefined && address === undefined)
    errors.push({ field: 'ip', message: 'must be an IPv4 or IPv6 address' });
  if (Array.isArray(hold) || errors.length > 0)
    throw validationFailed(errors.map(({ field, message }) => ({ field: path + field, message })));
  return { ip: address, model, chatbot, scopes, cost, hold };
}

/** What is to be held, or the rules that it breaks. */
function holdOf({ hold_cents: cents, hold_ttl_seconds: ttlSeconds }: VerifyBody): VerdictHold | FieldError[] {
  const amountMicroCents = cents === undefined ? undefined : parseCents(cents);
  if (amountMicroCents !== undefined && amountMicroCents > 0n && ttlSeconds !== undefined)
    return { amountMicroCents, ttlSeconds };
  const errors: FieldError[] = [];
  if (cents === undefined) errors.push({ field: 'hold_cents', message: 'is required with hold_ttl_seconds' });
  else if (amountMicroCents === undefined || amountMicroCents === 0n)
    errors.push({ field: 'hold_cents', message: HOLD_AMOUNT_RULE });
  if (ttlSeconds === undefined)
    errors.push({ field: 'hold_ttl_seconds', message: 'is required with hold_cents' });
  return errors;
}

const HOLD_AMOUNT_RULE = 'must be an amount above 0, at most 1000000000000, with at most six decimals';
