import { ApiSchema } from '@nestjs/swagger';
import { ResponseField } from '../contract/fields.js';

@ApiSchema({ name: 'Liveness' })
export class LivenessResponse {
  @ResponseField({ type: 'string', enum: ['ok'] })
  status!: 'ok';
}

@ApiSchema({ name: 'ReadinessChecks' })
export class ReadinessChecksResponse {
  @ResponseField({ type: 'string', enum: ['ok'], description: 'PostgreSQL answers.' })
  database!: 'ok';
}

@ApiSchema({ name: 'Readiness' })
export class ReadinessResponse {
  @ResponseField({ type: 'string', enum: ['ok'] })
  status!: 'ok';

  @ResponseField({ type: () => ReadinessChecksResponse })
  checks!: ReadinessChecksResponse;
}
