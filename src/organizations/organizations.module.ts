import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { AuthModule } from '../auth/auth.module.js';
import { MemberRows } from './member-rows.queries.js';
import { MembersService } from './members.service.js';
import { Organization, Project } from './organization.entity.js';
import { OrganizationMembersController } from './organization-members.controller.js';
import { OrganizationsController } from './organizations.controller.js';
import { OrganizationsService } from './organizations.service.js';
import { PoliciesService } from './policies.service.js';
import { PolicyRows } from './policies.queries.js';
import { ProjectMembersController } from './project-members.controller.js';
import { ProjectsController } from './projects.controller.js';
import { ProjectsService } from './projects.service.js';
import { ScopeLists } from './scope-lists.queries.js';
import { ScopeRows } from './scope-rows.queries.js';
import { UserDeletionSubscriber } from './user-deletion.subscriber.js';

/** Organizations, their projects, and who may do what in them, and what their keys must obey. */
@Module({
  imports: [TypeOrmModule.forFeature([Organization, Project]), AuthModule],
  controllers: [
    OrganizationMembersController,
    OrganizationsController,
    ProjectMembersController,
    ProjectsController,
  ],
  providers: [
    MemberRows,
    MembersService,
    OrganizationsService,
    PoliciesService,
    PolicyRows,
    ProjectsService,
    ScopeLists,
    ScopeRows,
    UserDeletionSubscriber,
  ],
  exports: [PoliciesService],
})
export class OrganizationsModule {}
