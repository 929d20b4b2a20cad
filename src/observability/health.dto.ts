import { ApiSchema } from '@nestjs/swagger';
import { ResponseField } from '../contract/fields.js';
import { openEnum } from '../contract/wire-schemas.js';

@ApiSchema({ name: 'Liveness' })
export class LivenessResponse {
  @ResponseField(openEnum(['ok'], 'The service answers.'))
  status!: 'ok';
}

@ApiSchema({ name: 'ReadinessChecks' })
export class ReadinessChecksResponse {
  @ResponseField(openEnum(['ok'], 'PostgreSQL answers.'))
  database!: 'ok';
}

@ApiSchema({ name: 'Readiness' })
export class ReadinessResponse {
  @ResponseField(openEnum(['ok'], 'The service answers.'))
  status!: 'ok';

  @ResponseField({ type: () => ReadinessChecksResponse, description: 'One entry for each dependency.' })
  checks!: ReadinessChecksResponse;
}
