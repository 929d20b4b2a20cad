import type { ApiAnswer, ApiClient } from './api-client.js';

/** The key that an operation is tried on. */
export interface OperationTarget {
  readonly id: number | string;
  readonly ownerId: number;
}

/** One of the seed's nine operations on API keys. */
export interface ApiKeyOperation {
  /** Its name in the seed, in audit rows and in the API document. */
  readonly action: string;
  /** What a caller needs who does not own the key. */
  readonly permission: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Status of success. */
  readonly status: 200 | 201;
  /** Whether ownership by a session is enough. */
  readonly isOpenToOwner: boolean;
  /** Whether its path names a key. */
  readonly hasId: boolean;
  readonly body?: unknown;
  path(target: OperationTarget): string;
}

const [CREATE, READ, UPDATE, DELETE] = ['create', 'read', 'update', 'delete'].map(
  (action) => `platform:api-keys:${action}`,
) as [string, string, string, string];

const onKey = { status: 200, isOpenToOwner: true, hasId: true } as const;

/** All nine, as the seed lists them. */
export const API_KEY_OPERATIONS: readonly ApiKeyOperation[] = [
  {
    ...onKey,
    action: 'list_api_keys',
    permission: READ,
    method: 'GET',
    hasId: false,
    path: ({ ownerId }) => `/api-keys?user_id=${ownerId}`,
  },
  {
    action: 'create_api_key',
    permission: CREATE,
    method: 'POST',
    status: 201,
    isOpenToOwner: false,
    hasId: false,
    body: { name: 'Made by an operation' },
    path: () => '/api-keys',
  },
  {
    ...onKey,
    action: 'get_api_key',
    permission: READ,
    method: 'GET',
    path: ({ id }) => `/api-keys/${id}`,
  },
  {
    ...onKey,
    action: 'update_api_key',
    permission: UPDATE,
    method: 'PUT',
    body: { description: 'Set by an operation' },
    path: ({ id }) => `/api-keys/${id}`,
  },
  {
    ...onKey,
    action: 'delete_api_key',
    permission: DELETE,
    method: 'DELETE',
    path: ({ id }) => `/api-keys/${id}`,
  },
  {
    ...onKey,
    action: 'regenerate_api_key',
    permission: UPDATE,
    method: 'POST',
    path: ({ id }) => `/api-keys/${id}/regenerate`,
  },
  {
    ...onKey,
    action: 'get_api_key_usage',
    permission: READ,
    method: 'GET',
    path: ({ id }) => `/api-keys/${id}/usage`,
  },
  {
    ...onKey,
    action: 'activate_api_key',
    permission: UPDATE,
    method: 'POST',
    path: ({ id }) => `/api-keys/${id}/activate`,
  },
  {
    ...onKey,
    action: 'deactivate_api_key',
    permission: UPDATE,
    method: 'POST',
    path: ({ id }) => `/api-keys/${id}/deactivate`,
  },
];

/** Tries the operation as the caller behind `client`. */
export function attempt(
  operation: ApiKeyOperation,
  client: ApiClient,
  target: OperationTarget,
): Promise<ApiAnswer> {
  const { method, body } = operation;
  return client.send(method, operation.path(target), { body });
}
