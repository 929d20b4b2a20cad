import type { ErrorCode } from '../common/error-catalogue.js';

/** What an operation of the API document says of itself, as far as its errors follow from it. */
export interface DescribedOperation {
  readonly parameters?: readonly { readonly in?: string }[];
  readonly requestBody?: unknown;
  readonly 'x-access-rule'?: { readonly kind: string };
  readonly 'x-bounded-per-caller'?: boolean;
  readonly 'x-takes-no-body'?: boolean;
  /** The codes that the operation declares beyond those that follow from its shape. */
  readonly 'x-error-codes'?: readonly ErrorCode[];
}

/** The errors that an operation may return: those that follow from its shape, then those that it declares. */
export function errorCodesOf(operation: DescribedOperation): readonly ErrorCode[] {
  const rule = operation['x-access-rule']?.kind;
  const readsBody = operation.requestBody !== undefined || operation['x-takes-no-body'] === true;
  const hasParameters = (operation.parameters ?? []).some(({ in: place }) => place !== 'header');
  const codes: ErrorCode[] = [
    ...(readsBody
      ? ([
          'request.malformed',
          'request.body_too_large',
          'request.media_type_unsupported',
          'validation.failed',
        ] as const)
      : []),
    ...(hasParameters ? (['request.malformed', 'request.uri_too_long', 'validation.failed'] as const) : []),
    ...(rule === undefined
      ? []
      : (['auth.credential_ambiguous', 'auth.credential_missing', 'auth.credential_invalid'] as const)),
    ...(rule === undefined || rule === 'authenticated' ? [] : (['permission.denied'] as const)),
    ...(operation['x-bounded-per-caller'] === true ? (['request.too_many_at_once'] as const) : []),
    ...(operation['x-error-codes'] ?? []),
    'internal.error',
    'service.overloaded',
    'service.unavailable',
  ];
  return [...new Set(codes)];
}
