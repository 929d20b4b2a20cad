import type { Place, Values } from './event-values.js';

/** A service account, by the user that it is, with its project. */
interface ServiceAccountPlace {
  readonly organizationId: number;
  readonly projectId: number;
  readonly userId: number;
}

/** Changes of service accounts and invitations. */
export interface TeamChangeEvents {
  'service_account.created': ServiceAccountPlace & {
    readonly name: string;
    readonly permissions: readonly string[];
  };
  'service_account.updated': ServiceAccountPlace & {
    readonly beforeValues: Values;
    readonly afterValues: Values;
  };
  'service_account.deleted': ServiceAccountPlace & { readonly name: string };
  'invitation.created': Place & {
    readonly invitationId: number;
    readonly username: string;
    readonly role: string;
  };
  'invitation.revoked': Place & { readonly invitationId: number; readonly username: string };
  /** The user, who may be new, is a member now. */
  'invitation.accepted': Place & {
    readonly invitationId: number;
    readonly userId: number;
    readonly role: string;
  };
}

/** Reads of them. */
export interface TeamObservationEvents {
  'invitation.listed': Place & { readonly page?: number; readonly cursor?: string; readonly size: number };
  'service_account.listed': {
    readonly organizationId: number;
    readonly projectId: number;
    readonly page?: number;
    readonly cursor?: string;
    readonly size: number;
  };
  'service_account.viewed': ServiceAccountPlace;
}
