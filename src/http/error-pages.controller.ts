import { readFile } from 'node:fs/promises';
import { Controller, Get, Header, Param } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { AppError } from '../common/app-error.js';
import { isErrorCode } from '../common/error-catalogue.js';
import { projectPath } from '../common/project-path.js';
import { TextField } from './fields.js';
import { Operation } from './operation.js';
import { Public } from './public.decorator.js';

class ErrorCodeParameter {
  @TextField({
    maxLength: 64,
    description: 'The `code` of a problem document.',
    example: 'api_key.not_found',
  })
  code!: string;
}

/** Serves the page of each error: what the `type` of a problem document points at. */
@ApiTags('Service')
@Controller('errors')
export class ErrorPagesController {
  @Get(':code')
  @Public()
  @Operation('get_error_page', {
    summary: 'Read what an error code means',
    description: 'The `type` of a problem document points here.',
    resourceType: 'error',
  })
  @Header('content-type', 'text/markdown; charset=utf-8')
  @ApiOkResponse({ description: 'The page.', content: { 'text/markdown': { schema: { type: 'string' } } } })
  async getErrorPage(@Param() { code }: ErrorCodeParameter): Promise<string> {
    if (!isErrorCode(code)) throw new AppError('request.route_not_found', 'There is no such error code.');
    return readFile(projectPath(`docs/errors/${code}.md`), 'utf8');
  }
}
