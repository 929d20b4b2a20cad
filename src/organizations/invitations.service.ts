import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { KeyBounds } from '../auth/key-bounds.js';
import type { Principal } from '../auth/principal.js';
import { requireHeldIn, type Scope } from '../auth/scope.policy.js';
import { Clock } from '../common/clock.js';
import { Secret } from '../common/secret.js';
import { INVITATION_TOKEN_PREFIX } from '../common/secret-shapes.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { normalizeUsername } from '../users/username.js';
import { type Invitation, InvitationRows } from './invitation-rows.queries.js';
import { invitationNotFound } from './invitation-acceptance.service.js';
import { MemberRows } from './member-rows.queries.js';
import type { MembershipRole } from './membership-roles.js';

/** An invitation with its token, which is shown this once. */
export interface IssuedInvitation {
  readonly invitation: Invitation;
  readonly token: Secret;
}

const VALID_MS = 7 * 24 * 3_600_000;

/** Invitations to organizations and projects. The guard has judged the caller. */
@Injectable()
export class InvitationsService {
  constructor(
    private readonly rows: InvitationRows,
    private readonly members: MemberRows,
    private readonly keyBounds: KeyBounds,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /**
   * Invites the user with a username, who may not exist yet: the answer does not tell.
   * @throws AppError `organization.not_found`, `project.not_found`, `permission.denied`
   */
  @Change()
  async create(
    principal: Principal,
    scope: Scope,
    givenUsername: string,
    role: MembershipRole,
  ): Promise<IssuedInvitation> {
    await this.members.lockScope(scope);
    await this.keyBounds.requireUnbound(principal);
    requireHeldIn(principal, scope, await this.members.permissionsOf(role));
    const token = new Secret(INVITATION_TOKEN_PREFIX + randomBytes(32).toString('base64url'));
    const [username, createdAt] = [normalizeUsername(givenUsername), this.clock.now()];
    const values = {
      organizationId: scope.organizationId,
      projectId: scope.projectId,
      username,
      role,
      invitedByUserId: principal.userId,
      createdAt,
      expiresAt: new Date(createdAt.getTime() + VALID_MS),
    };
    const id = await this.rows.insert(values, token.reveal());
    await this.events.change('invitation.created', { ...placeOf(values), invitationId: id, username, role });
    return { invitation: { id, ...values }, token };
  }

  /** @throws AppError `invitation.not_found` also for one that was accepted or revoked */
  @Change()
  async revoke(_principal: Principal, scope: Scope, id: number): Promise<void> {
    const invitation = await this.rows.revoke(scope, id, this.clock.now());
    if (invitation === undefined) throw invitationNotFound();
    const { username } = invitation;
    await this.events.change('invitation.revoked', { ...placeOf(scope), invitationId: id, username });
  }
}

function placeOf({ organizationId, projectId }: Scope): Scope {
  return { organizationId, projectId };
}
