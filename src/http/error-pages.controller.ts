import { readFile } from 'node:fs/promises';
import { Controller, Get, Param, Redirect, Res } from '@nestjs/common';
import { ApiExcludeEndpoint, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import type { FastifyReply } from 'fastify';
import { AppError } from '../common/app-error.js';
import { isErrorCode } from '../common/error-catalogue.js';
import { projectPath } from '../common/project-path.js';
import { AcceptedMediaType } from '../contract/accept.js';
import { DOCS_PATH } from '../contract/api-document.js';
import { TextField } from '../contract/fields.js';
import { htmlPage } from './html-page.js';
import { Operation } from '../contract/operation.js';
import { Public } from '../contract/public.decorator.js';

class ErrorCodeParameter {
  @TextField({
    maxLength: 64,
    description: 'The `code` of a problem document.',
    example: 'api_key.not_found',
  })
  code!: string;
}

/** Markdown for programs and for requests without a preference; browsers ask for HTML first. */
const PAGE_TYPES = ['text/markdown', 'text/html'] as const;
const PAGE = {
  description: 'The page.',
  content: { 'text/markdown': { schema: { type: 'string' } } },
} as const;

/** Serves the page of each error: what the `type` of a problem document points at. */
@ApiTags('Service')
@Controller()
export class ErrorPagesController {
  /** For a person who types the address of the service into a browser. */
  @Get()
  @Public()
  @ApiExcludeEndpoint()
  @Operation('get_start_page', {
    summary: 'Go to the API documentation',
    description: 'Redirects to the pages of the API document.',
    resourceType: 'service',
  })
  @Redirect(`/${DOCS_PATH}`, 302)
  getStartPage(): void {}

  @Get('errors')
  @Public()
  @Operation('list_error_pages', {
    summary: 'Read what all error codes mean',
    description: 'The list of the error codes, with a link to the page of each. HTML for browsers.',
    resourceType: 'error',
    errors: ['request.not_acceptable'],
  })
  @ApiOkResponse(PAGE)
  async listErrorPages(
    @AcceptedMediaType(PAGE_TYPES) mediaType: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    return page(reply, mediaType, 'Errors', await readFile(projectPath('docs/errors/README.md'), 'utf8'));
  }

  @Get('errors/:code')
  @Public()
  @Operation('get_error_page', {
    summary: 'Read what an error code means',
    description: 'The `type` of a problem document points here. HTML for browsers.',
    resourceType: 'error',
    errors: ['request.route_not_found', 'request.not_acceptable'],
  })
  @ApiOkResponse(PAGE)
  async getErrorPage(
    @Param() { code }: ErrorCodeParameter,
    @AcceptedMediaType(PAGE_TYPES) mediaType: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<string> {
    if (!isErrorCode(code)) throw new AppError('request.route_not_found', 'There is no such error code.');
    return page(reply, mediaType, code, await readFile(projectPath(`docs/errors/${code}.md`), 'utf8'));
  }
}

/** The page has one style and links, and nothing else. */
const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

function page(reply: FastifyReply, mediaType: string, title: string, markdown: string): string {
  void reply.headers({
    'content-type': `${mediaType}; charset=utf-8`,
    'content-security-policy': POLICY,
    vary: 'Accept',
  });
  return mediaType === 'text/html' ? htmlPage(title, markdown) : markdown;
}
