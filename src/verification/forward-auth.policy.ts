import { AppError, type AppErrorExtras } from '../common/app-error.js';
import type { ErrorCode } from '../common/error-catalogue.js';
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
  const [errorCode, detail] = problemOf(code);
  return new AppError(errorCode, detail, extras);
}

function problemOf(code: VerdictCode): [code: ErrorCode, detail: string] {
  switch (code) {
    case 'NOT_FOUND':
      return ['verdict.not_authenticated', 'The request carries no API key that is known.'];
    case 'DISABLED':
      return ['verdict.not_authenticated', 'The API key is not active.'];
    case 'EXPIRED':
      return ['verdict.not_authenticated', 'The API key has expired.'];
    case 'IP_NOT_ALLOWED':
      return ['verdict.not_allowed', 'The API key may not be used from this address.'];
    case 'MODEL_NOT_ALLOWED':
      return ['verdict.not_allowed', 'The API key may not use this model.'];
    case 'CHATBOT_NOT_ALLOWED':
      return ['verdict.not_allowed', 'The API key may not use this chatbot.'];
    case 'INSUFFICIENT_SCOPE':
      return ['verdict.not_allowed', 'The API key lacks a scope that is needed.'];
    case 'BUDGET_EXCEEDED':
      return ['verdict.budget_exceeded', 'The budget of the API key is used up.'];
    case 'RATE_LIMITED':
      return ['verdict.rate_limited', 'The rate limit of the API key is reached.'];
    case 'VALID':
      throw new Error('A valid verdict is no refusal.');
  }
}
