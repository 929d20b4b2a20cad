import { Body, Controller, Delete, Get, Param, Post, Put, Query } from '@nestjs/common';
import { ApiCreatedResponse, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { API_PATH } from '../contract/api-path.js';
import { MessageResponse } from '../contract/message.response.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { PageQuery, pageRequest, shownPage } from '../contract/paging.js';
import { CurrentPrincipal, OwnerOrPermission, RequirePermission } from '../auth/access.decorators.js';
import {
  CreateUserDto,
  SetPasswordDto,
  toUserResponse,
  UpdateUserDto,
  UserIdParameter,
  UserListResponse,
  UserResponse,
} from './users.dto.js';
import type { Principal } from '../auth/principal.js';
import { UsersReader } from './users-reader.service.js';
import { UsersService } from './users.service.js';

@ApiTags('Users')
@Controller(`${API_PATH}/users`)
export class UsersController {
  constructor(
    private readonly reader: UsersReader,
    private readonly users: UsersService,
  ) {}

  @Get()
  @RequirePermission('platform:users:read')
  @Operation('list_users', {
    summary: 'List users',
    description: 'Oldest first; ended users are not shown.',
    isExpensive: () => true,
    resourceType: 'user',
  })
  @ApiOkResponse({ type: UserListResponse })
  async list(
    @CurrentPrincipal() { userId }: Principal,
    @Query() query: PageQuery,
  ): Promise<UserListResponse> {
    const asked = pageRequest(query);
    const { users, total, nextCursor } = await this.reader.list(userId, asked);
    return {
      users: users.map(toUserResponse),
      total,
      page: shownPage(asked),
      size: asked.size,
      next_cursor: nextCursor,
    };
  }

  @Post()
  @RequirePermission('platform:users:create')
  @Operation('create_user', {
    summary: 'Create a user',
    description: 'Nobody can give a role or permissions beyond their own.',
    resourceType: 'user',
    errors: ['user.username_taken'],
  })
  @ApiCreatedResponse({ type: UserResponse })
  async create(@CurrentPrincipal() principal: Principal, @Body() body: CreateUserDto): Promise<UserResponse> {
    return toUserResponse(await this.users.create(principal, body));
  }

  @Get(':id')
  @RequirePermission('platform:users:read')
  @Operation('get_user', {
    summary: 'Read a user',
    description: 'An ended user is not found.',
    resourceType: 'user',
    errors: ['user.not_found'],
  })
  @ApiOkResponse({ type: UserResponse })
  async get(@Param() { id }: UserIdParameter): Promise<UserResponse> {
    return toUserResponse(await this.users.get(id));
  }

  @Put(':id')
  @RequirePermission('platform:users:update')
  @Operation('update_user', {
    summary: 'Change role, permissions or state of a user',
    description:
      'Changes the fields present. Disabling ends all sessions of the user. The last active admin must remain.',
    resourceType: 'user',
    errors: ['user.not_found', 'user.last_admin'],
  })
  @ApiOkResponse({ type: UserResponse })
  async update(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: UserIdParameter,
    @Body() { role, permissions, is_active }: UpdateUserDto,
  ): Promise<UserResponse> {
    return toUserResponse(await this.users.update(principal, id, { role, permissions, isActive: is_active }));
  }

  @Put(':id/password')
  @OwnerOrPermission('platform:users:update')
  @Operation('set_user_password', {
    summary: 'Set a password; ends all sessions of the user',
    description:
      'One’s own password needs `current_password`; that of another user needs permissions that cover theirs.',
    resourceType: 'user',
    errors: ['user.not_found', 'auth.too_many_failures'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async setPassword(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: UserIdParameter,
    @Body() { new_password, current_password }: SetPasswordDto,
  ): Promise<MessageResponse> {
    await this.users.setPassword(principal, id, new_password, current_password);
    return { message: 'Password changed; all sessions have ended' };
  }

  @Delete(':id')
  @RequirePermission('platform:users:delete')
  @NoBody()
  @Operation('delete_user', {
    summary: 'End a user and their keys; history stays',
    description:
      'The user cannot log in again and none of their keys is valid again. The last active admin must remain.',
    resourceType: 'user',
    errors: ['user.not_found', 'user.last_admin'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async delete(
    @CurrentPrincipal() principal: Principal,
    @Param() { id }: UserIdParameter,
  ): Promise<MessageResponse> {
    await this.users.delete(principal, id);
    return { message: 'User deleted successfully' };
  }
}
