import type { Actor, AuthorityPart } from '../context/request-context.js';

/** The policy of a key as it stood. */
export interface KeyVersion {
  readonly apiKeyId: number;
  readonly version: number;
}

/** What the caller was authenticated with. */
export type Credential =
  /** `expiresAtMs` is when the session ends unless it is refreshed. */
  | { readonly kind: 'session'; readonly sessionId: string; readonly expiresAtMs: number }
  | {
      readonly kind: 'api_key';
      readonly apiKeyId: number;
      /** Whether its secret is a former one, in its grace period. */
      readonly isRetiring: boolean;
      /** The key and what it came from, itself first: it may do what all of them allow. */
      readonly line: readonly KeyVersion[];
    };

/** What a membership, or the place of a key, lets its principal do in a scope; perhaps nothing, which still makes it a member. */
export interface ScopedPermissions {
  readonly organizationId: number;
  /** Null: in the whole organization. */
  readonly projectId: number | null;
  readonly permissions: readonly string[];
}

/** Who is calling and what they may do now: read from the store for each request, never from an old token. */
export interface Principal {
  readonly userId: number;
  readonly username: string;
  readonly role: string;
  /** What they may do everywhere. */
  readonly permissions: readonly string[];
  /** What they may do beyond that in some organizations or projects. */
  readonly scoped: readonly ScopedPermissions[];
  readonly credential: Credential;
}

/** The principal as an audit row names it. */
export function actorOf({ userId, credential }: Principal): Actor {
  return { userId, apiKeyId: credential.kind === 'api_key' ? credential.apiKeyId : null };
}

/** What the authority of a principal rests on beside its user: of an API key its line, its project and its organization. */
export function foundationOf({ credential, scoped }: Principal): AuthorityPart[] {
  if (credential.kind !== 'api_key') return [];
  const keys = credential.line.map(({ apiKeyId }) => ({ kind: 'api_key', id: apiKeyId }) as const);
  const places = scoped.flatMap(({ organizationId, projectId }) =>
    projectId === null
      ? []
      : ([
          { kind: 'organization', id: organizationId },
          { kind: 'project', id: projectId },
        ] as const),
  );
  return [...keys, ...places];
}
