import { AppError, type AppErrorExtras } from '../common/app-error.js';
import type { ErrorCode } from '../common/error-catalogue.js';
import { byNameRefusal } from './named-restrictions.js';
import type { Verdict } from './verification.service.js';
import type { VerdictCode } from './verdict.js';

/** A refused verdict as the status a gateway passes to its caller. */
export function refusalOf(verdict: Verdict, limits: Readonly<Record<string, string>>): AppError {
  const { code } = verdict;
  const retryAfterSeconds = code === 'NOT_FOUND' ? null : verdict.retryAfterSeconds;
  const extras: AppErrorExtras = {
    headers: { ...limits, 'x-api-key-code': code },
    members: { verdict: code },
    ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
  };
  if (code === 'VALID') throw new Error('A valid verdict is no refusal.');
  const [errorCode, detail] = PROBLEMS[code];
  return new AppError(errorCode, detail, extras);
}

type Problem = readonly [code: ErrorCode, detail: string];

const PROBLEMS: Readonly<Record<Exclude<VerdictCode, 'VALID'>, Problem>> = {
  NOT_FOUND: ['verdict.not_authenticated', 'The request carries no API key that is known.'],
  DISABLED: ['verdict.not_authenticated', 'The API key is not active.'],
  EXPIRED: ['verdict.not_authenticated', 'The API key has expired.'],
  POLICY_VIOLATION: ['verdict.not_allowed', 'The API key breaks a policy of its organization or project.'],
  IP_NOT_ALLOWED: ['verdict.not_allowed', 'The API key may not be used from this address.'],
  ...byNameRefusal(({ input }): Problem => ['verdict.not_allowed', `The API key may not use this ${input}.`]),
  INSUFFICIENT_SCOPE: ['verdict.not_allowed', 'The API key lacks a scope that is needed.'],
  BUDGET_EXCEEDED: ['verdict.budget_exceeded', 'The budget of the API key is used up.'],
  RATE_LIMITED: ['verdict.rate_limited', 'The rate limit of the API key is reached.'],
};
