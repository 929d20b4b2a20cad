import { Controller, Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { Operation } from '../contract/operation.js';
import { Public } from '../contract/public.decorator.js';
import { Metrics, METRICS_MEDIA_TYPE } from './metrics.service.js';

@ApiTags('Service')
@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: Metrics) {}

  @Get()
  @Public()
  @Header('content-type', METRICS_MEDIA_TYPE)
  @Header('cache-control', 'no-store')
  @Operation('get_metrics', {
    summary: 'Read the measurements of this instance',
    description: 'In the text format of Prometheus.',
    resourceType: 'service',
  })
  @ApiOkResponse({
    description: 'The measurements.',
    content: { 'text/plain': { schema: { type: 'string' } } },
  })
  getMetrics(): Promise<string> {
    return this.metrics.text();
  }
}
