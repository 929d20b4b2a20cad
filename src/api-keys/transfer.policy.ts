import type { FieldError } from '../common/app-error.js';

/** Whom a key is given to, and where it is to be. */
export interface TransferRequest {
  readonly userId?: number | undefined;
  readonly serviceAccountId?: number | undefined;
  /** Where nothing is said, a person gets the key where it is, a service account in its own project. */
  readonly projectId?: number | undefined;
}

/** What is wrong with a request: a key has one owner. */
export function transferErrors({ userId, serviceAccountId }: TransferRequest): FieldError[] {
  if ((userId === undefined) !== (serviceAccountId === undefined)) return [];
  const message =
    userId === undefined
      ? 'is required unless service_account_id is given'
      : 'must not be given beside service_account_id';
  return [{ field: 'user_id', message }];
}
