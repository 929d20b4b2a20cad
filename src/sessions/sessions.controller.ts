import { Body, Controller, Get, Header, HttpCode, Post } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { AppError } from '../common/app-error.js';
import { API_PATH } from '../contract/api-path.js';
import { MessageResponse } from '../contract/message.response.js';
import { NoBody } from '../contract/no-body.js';
import { Operation } from '../contract/operation.js';
import { Public } from '../contract/public.decorator.js';
import { Authenticated, CurrentPrincipal } from '../auth/access.decorators.js';
import {
  LoginDto,
  PrincipalResponse,
  RefreshDto,
  toPrincipalResponse,
  TokensResponse,
  toTokensResponse,
} from './sessions.dto.js';
import { LoginService } from './login.service.js';
import type { Principal } from '../auth/principal.js';
import { SessionsService } from './sessions.service.js';

@ApiTags('Authentication')
@Controller(`${API_PATH}/auth`)
export class SessionsController {
  constructor(
    private readonly logins: LoginService,
    private readonly sessions: SessionsService,
  ) {}

  @Post('login')
  @HttpCode(200)
  @Public()
  @Header('cache-control', 'no-store')
  @Operation('login', {
    summary: 'Log in with a name and a password',
    description: 'Opens a session. An unknown user, a disabled one and a wrong password are answered alike.',
    resourceType: 'session',
    errors: ['auth.login_failed', 'auth.too_many_failures'],
  })
  @ApiOkResponse({ type: TokensResponse })
  async login(@Body() { username, password }: LoginDto): Promise<TokensResponse> {
    return toTokensResponse(await this.logins.login(username, password));
  }

  @Post('refresh')
  @HttpCode(200)
  @Public()
  @Header('cache-control', 'no-store')
  @Operation('refresh_session', {
    summary: 'Exchange a refresh token for new tokens',
    description:
      'Each refresh token is exchanged for one other; repeated within 10 seconds it answers the same one, and using it later ends the session.',
    resourceType: 'session',
    errors: ['auth.refresh_token_invalid'],
  })
  @ApiOkResponse({ type: TokensResponse })
  async refresh(@Body() { refresh_token }: RefreshDto): Promise<TokensResponse> {
    return toTokensResponse(await this.logins.refresh(refresh_token));
  }

  @Post('logout')
  @HttpCode(200)
  @Authenticated()
  @NoBody()
  @Operation('logout', {
    summary: 'End the session of the access token',
    description: 'The access token and the refresh token of the session stop working at once.',
    resourceType: 'session',
    errors: ['permission.denied'],
  })
  @ApiOkResponse({ type: MessageResponse })
  async logout(@CurrentPrincipal() { credential, userId }: Principal): Promise<MessageResponse> {
    if (credential.kind !== 'session')
      throw new AppError('permission.denied', 'An API key has no session to end.');
    await this.sessions.close(credential.sessionId, userId);
    return { message: 'Logged out' };
  }

  @Get('me')
  @Authenticated()
  @Operation('get_me', {
    summary: 'Read who the credential belongs to and what it may do',
    description:
      'Works with an access token and with an API key, which acts as its owner limited to its scopes.',
    resourceType: 'user',
  })
  @ApiOkResponse({ type: PrincipalResponse })
  me(@CurrentPrincipal() principal: Principal): PrincipalResponse {
    return toPrincipalResponse(principal);
  }
}
