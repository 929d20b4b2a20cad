import { Injectable } from '@nestjs/common';
import { denied } from '../auth/access.policy.js';
import type { Principal } from '../auth/principal.js';
import { areHeldIn } from '../auth/scope.policy.js';
import { AppError, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { nameOrganization } from '../context/request-context.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { NewUsers } from '../users/new-users.service.js';
import { type Invitation, InvitationRows } from './invitation-rows.queries.js';
import { type Member, MemberRows } from './member-rows.queries.js';

const INVITE_PERMISSION = 'platform:members:create';

/**
 * Turns the token of an invitation into a membership. An unknown token and every other that cannot be accepted are answered
 * alike. Guesses need no counter: a token is 256 random bits, and a wrong one costs a look-up by index.
 */
@Injectable()
export class InvitationAcceptance {
  constructor(
    private readonly rows: InvitationRows,
    private readonly members: MemberRows,
    private readonly newUsers: NewUsers,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /**
   * With a session, for the user of that. Without one, for a new user of the name that was invited.
   * @throws AppError `invitation.not_found`, `member.exists`, `permission.denied`, `validation.failed`
   */
  async accept(
    principal: Principal | undefined,
    token: string,
    password: string | undefined,
  ): Promise<Member> {
    if (principal !== undefined) {
      if (principal.credential.kind !== 'session')
        throw denied('An invitation is accepted by a person: with a session, or with a new password.');
      if (password !== undefined) throw passwordError('must not be sent with a session');
      return this.join(principal, token);
    }
    if (password === undefined) throw passwordError('is required without a session');
    // Before the hash, so that a guess costs no bcrypt.
    const { username } = requireFound(await this.rows.find(token, this.clock.now()));
    const passwordHash = await this.newUsers.hashOf(username, password);
    return this.joinAsNewUser(token, passwordHash);
  }

  @Change()
  protected async join(principal: Principal, token: string): Promise<Member> {
    const invitation = await this.#locked(token);
    if (invitation.username !== principal.username) throw invitationNotFound();
    return this.#addMember(invitation, principal.userId);
  }

  @Change()
  protected async joinAsNewUser(token: string, passwordHash: string): Promise<Member> {
    const invitation = await this.#locked(token);
    const userId = await this.newUsers.create(invitation.username, passwordHash);
    if (userId === undefined) throw invitationNotFound();
    await this.rows.leaveDefault(userId);
    return this.#addMember(invitation, userId);
  }

  /**
   * The invitation, while those who could take it back wait. They lock in the same order: the organization, the inviter, the
   * invitation.
   */
  async #locked(token: string): Promise<Invitation> {
    const { organizationId, projectId, invitedByUserId, role } = requireFound(
      await this.rows.find(token, this.clock.now()),
    );
    const scope = { organizationId, projectId };
    if (!(await this.members.isThere(scope))) throw invitationNotFound();
    const inviter = await this.rows.lockInviter(invitedByUserId);
    const given = [INVITE_PERMISSION, ...(await this.members.permissionsOf(role))];
    if (inviter === undefined || !areHeldIn(inviter, scope, given)) throw invitationNotFound();
    return requireFound(await this.rows.lock(token, this.clock.now()));
  }

  async #addMember({ id, organizationId, projectId, role }: Invitation, userId: number): Promise<Member> {
    const scope = { organizationId, projectId };
    nameOrganization(organizationId);
    if (!(await this.members.insert(scope, userId, role)))
      throw new AppError('member.exists', 'The user is a member already.');
    await this.rows.accept(id, this.clock.now());
    await this.events.change('invitation.accepted', { ...scope, invitationId: id, userId, role });
    const member = await this.members.find(scope, userId);
    if (member === undefined) throw new Error('A member who was just added is not there.');
    return member;
  }
}

/** What every token is answered with that cannot be accepted, and every id that names no open invitation. */
export function invitationNotFound(): AppError {
  return new AppError('invitation.not_found', 'Invitation not found');
}

function requireFound(invitation: Invitation | undefined): Invitation {
  if (invitation === undefined) throw invitationNotFound();
  return invitation;
}

function passwordError(message: string): AppError {
  return validationFailed([{ field: 'password', message }]);
}
