import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Operation } from '../contract/operation.js';
import { Public } from '../contract/public.decorator.js';
import { LivenessResponse, ReadinessResponse } from './health.dto.js';
import { Readiness } from './readiness.service.js';

@ApiTags('Service')
@Controller('health')
export class HealthController {
  constructor(private readonly readiness: Readiness) {}

  @Get('live')
  @Public()
  @Header('cache-control', 'no-store')
  @Operation('get_liveness', {
    summary: 'Find out whether the process answers',
    description:
      'Asks nothing of PostgreSQL: an instance whose database is unavailable is not helped by a restart.',
    resourceType: 'service',
  })
  @ApiOkResponse({ type: LivenessResponse })
  getLiveness(): LivenessResponse {
    return { status: 'ok' };
  }

  @Get('ready')
  @Public()
  @Header('cache-control', 'no-store')
  @Operation('get_readiness', {
    summary: 'Find out whether this instance should be sent requests',
    description:
      'Answers 503 while PostgreSQL is unavailable and from the moment the instance begins to shut down.',
    resourceType: 'service',
  })
  @ApiOkResponse({ type: ReadinessResponse })
  async getReadiness(): Promise<ReadinessResponse> {
    await this.readiness.assertReady();
    return { status: 'ok', checks: { database: 'ok' } };
  }
}
