import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Authenticated } from '../auth/access.decorators.js';
import { API_PATH } from '../contract/api-path.js';
import { Operation } from '../contract/operation.js';
import { ReferenceResponse, toReference } from './reference.dto.js';

@ApiTags('Service')
@Controller(`${API_PATH}/reference`)
export class ReferenceController {
  /** Put together at the first request: the API document, which it reads, is large. */
  #reference: ReferenceResponse | undefined;

  @Get()
  @Authenticated()
  @Header('cache-control', 'private, max-age=300')
  @Operation('get_reference', {
    summary: 'Read what permissions, audit actions, verdict codes and error codes there are',
    description:
      'Everything that this version of the service knows by name, each with its meaning: for selection lists, and for texts of your own. The same for every caller; any credential may ask.',
    resourceType: 'service',
  })
  @ApiOkResponse({ type: ReferenceResponse, description: 'The names, in lists of their own.' })
  getReference(): ReferenceResponse {
    return (this.#reference ??= toReference());
  }
}
