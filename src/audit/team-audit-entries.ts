import type { TeamChangeEvents, TeamObservationEvents } from '../events/team-events.js';
import { type AuditEntry, type Entries, entry, ofPlace, placed, updateDetails } from './audit-entry.js';

/** The entries of service accounts and invitations. */
export const TEAM_ENTRIES: Entries<keyof TeamChangeEvents | keyof TeamObservationEvents> = {
  'service_account.listed': ({ organizationId: _of, projectId, ...details }) =>
    serviceAccount('list_service_accounts', projectId, null, details),
  'service_account.viewed': ({ projectId, userId }) =>
    serviceAccount('get_service_account', projectId, userId),
  'service_account.created': ({ projectId, userId, name, permissions }) =>
    serviceAccount('create_service_account', projectId, userId, { name, permissions }),
  'service_account.updated': ({ projectId, userId, beforeValues, afterValues }) =>
    serviceAccount('update_service_account', projectId, userId, updateDetails({ beforeValues, afterValues })),
  'service_account.deleted': ({ projectId, userId, name }) =>
    serviceAccount('delete_service_account', projectId, userId, { name }),
  'invitation.listed': ({ organizationId: _of, projectId, ...details }) =>
    entry(ofPlace('list', 'invitations', projectId), 'invitation', null, placed(projectId, details)),
  'invitation.created': ({ projectId, invitationId, username, role }) =>
    entry(
      ofPlace('create', 'invitation', projectId),
      'invitation',
      invitationId,
      placed(projectId, { username, role }),
    ),
  'invitation.revoked': ({ projectId, invitationId, username }) =>
    entry(
      ofPlace('revoke', 'invitation', projectId),
      'invitation',
      invitationId,
      placed(projectId, { username }),
    ),
  'invitation.accepted': ({ projectId, invitationId, userId, role }) => ({
    ...entry('accept_invitation', 'invitation', invitationId, placed(projectId, { user_id: userId, role })),
    actorUserId: userId,
  }),
};

function serviceAccount(
  action: string,
  projectId: number,
  userId: number | null,
  details: AuditEntry['details'] = {},
): AuditEntry {
  return entry(action, 'service_account', userId, placed(projectId, details));
}
