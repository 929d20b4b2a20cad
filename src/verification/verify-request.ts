import type { Reporter } from '../usage/reporter.js';
import { type FieldError, validationFailed } from '../common/app-error.js';
import { normalizeAddress } from '../common/ip-address.js';
import { parseCents } from '../common/money.js';
import type { VerdictHold, VerdictRequest } from './verdict.js';
import type { VerifyBody } from './verify.schema.js';

const NO_SCOPES: readonly string[] = [];
/** What the addresses of connections may have and a request may not: spaces, and zones with more than a name. */
const NO_ADDRESS = /\s|%.*[^\w.-]/;

/**
 * A request as it is judged. A hold that it asks for belongs to `caller`.
 * @throws AppError `validation.failed` for an invalid address, and for an incomplete or invalid hold
 */
export function toVerdictRequest(body: VerifyBody, caller: Reporter | undefined): VerdictRequest {
  const request = requestOf(body, caller);
  if (request === undefined) throw validationFailed(verifyItemErrors(body));
  return request;
}

/** One request of a batch. */
export interface BatchedVerifyItem {
  readonly secret: string;
  readonly isExplained: boolean;
  readonly request: VerdictRequest;
}

/**
 * The requests of a batch, in order.
 * @throws AppError `validation.failed` with every rule that one of them breaks
 */
export function toBatch(bodies: readonly VerifyBody[], caller: Reporter | undefined): BatchedVerifyItem[] {
  const batch = bodies.flatMap((body) => {
    const request = requestOf(body, caller);
    return request === undefined ? [] : [{ secret: body.key, isExplained: body.explain, request }];
  });
  if (batch.length < bodies.length) throw validationFailed(batchErrors({ requests: bodies }));
  return batch;
}

/** The rules beyond the schema that a request breaks, whatever else is wrong with it; `path` is where it stands. */
export function verifyItemErrors(item: unknown, path = ''): FieldError[] {
  const { ip, hold_cents: cents, hold_ttl_seconds: ttlSeconds } = fieldsOf(item);
  const errors: FieldError[] = [];
  const note = (field: string, message: string) => errors.push({ field: path + field, message });
  if (typeof ip === 'string' && addressOf(ip) === undefined) note('ip', 'must be an IPv4 or IPv6 address');
  if (cents === undefined && ttlSeconds !== undefined)
    note('hold_cents', 'is required with hold_ttl_seconds');
  if (cents !== undefined && !parseCents(cents)) note('hold_cents', HOLD_AMOUNT_RULE);
  if (cents !== undefined && ttlSeconds === undefined)
    note('hold_ttl_seconds', 'is required with hold_cents');
  return errors;
}

/** The same for all requests of a batch. */
export function batchErrors(batch: unknown): FieldError[] {
  const { requests } = fieldsOf(batch);
  return Array.isArray(requests)
    ? requests.flatMap((item, index) => verifyItemErrors(item, `requests[${index}].`))
    : [];
}

const HOLD_AMOUNT_RULE = 'must be an amount above 0, at most 1000000000000, with at most six decimals';

/** Undefined when a rule beyond the schema is broken. */
function requestOf(body: VerifyBody, caller: Reporter | undefined): VerdictRequest | undefined {
  const { ip, scopes = NO_SCOPES, cost } = body;
  const address = ip === undefined ? undefined : addressOf(ip);
  if (ip !== undefined && address === undefined) return undefined;
  const asksToHold = body.hold_cents !== undefined || body.hold_ttl_seconds !== undefined;
  const hold = asksToHold ? holdOf(body, caller) : undefined;
  return asksToHold && hold === undefined ? undefined : { ip: address, names: body, scopes, cost, hold };
}

function addressOf(ip: string): string | undefined {
  return NO_ADDRESS.test(ip) ? undefined : normalizeAddress(ip);
}

function holdOf(
  { hold_cents: cents, hold_ttl_seconds: ttlSeconds }: VerifyBody,
  takenBy: Reporter | undefined,
): VerdictHold | undefined {
  const amountMicroCents = parseCents(cents);
  if (!amountMicroCents || ttlSeconds === undefined || takenBy === undefined) return undefined;
  return { amountMicroCents, ttlSeconds, takenBy };
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}
