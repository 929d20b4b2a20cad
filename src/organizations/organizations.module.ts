import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { UsersModule } from '../users/users.module.js';
import { InvitationAcceptance } from './invitation-acceptance.service.js';
import { InvitationRows } from './invitation-rows.queries.js';
import { InvitationsController } from './invitations.controller.js';
import { InvitationsService } from './invitations.service.js';
import { BudgetsModule } from '../budgets/budgets.module.js';
import { MemberRows } from './member-rows.queries.js';
import { MembersService } from './members.service.js';
import { Organization, Project } from './organization.entity.js';
import { OrganizationInvitationsController } from './organization-invitations.controller.js';
import { OrganizationMembersController } from './organization-members.controller.js';
import { OrganizationsController } from './organizations.controller.js';
import { OrganizationsService } from './organizations.service.js';
import { PoliciesService } from './policies.service.js';
import { PolicyRows } from './policies.queries.js';
import { ProjectInvitationsController } from './project-invitations.controller.js';
import { ProjectMembersController } from './project-members.controller.js';
import { ProjectsController } from './projects.controller.js';
import { ProjectsService } from './projects.service.js';
import { ScopeBudgetsController } from './scope-budgets.controller.js';
import { ScopeBudgetsService } from './scope-budgets.service.js';
import { ScopeLists } from './scope-lists.queries.js';
import { ScopeRows } from './scope-rows.queries.js';
import { ServiceAccountRows } from './service-account-rows.queries.js';
import { ServiceAccountsController } from './service-accounts.controller.js';
import { ServiceAccountsService } from './service-accounts.service.js';
import { UserDeletionSubscriber } from './user-deletion.subscriber.js';

/** Organizations, their projects, and who may do what in them, and what their keys must obey. */
@Module({
  imports: [TypeOrmModule.forFeature([Organization, Project]), AuthModule, BudgetsModule, UsersModule],
  controllers: [
    InvitationsController,
    OrganizationInvitationsController,
    OrganizationMembersController,
    OrganizationsController,
    ProjectInvitationsController,
    ProjectMembersController,
    ProjectsController,
    ServiceAccountsController,
    ScopeBudgetsController,
  ],
  providers: [
    InvitationAcceptance,
    InvitationRows,
    InvitationsService,
    MemberRows,
    MembersService,
    OrganizationsService,
    PoliciesService,
    PolicyRows,
    ProjectsService,
    ScopeBudgetsService,
    ScopeLists,
    ScopeRows,
    ServiceAccountRows,
    ServiceAccountsService,
    UserDeletionSubscriber,
  ],
  exports: [PoliciesService],
})
export class OrganizationsModule {}
