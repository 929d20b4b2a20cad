import { ApiSchema } from '@nestjs/swagger';
import { ResponseField } from './fields.js';

@ApiSchema({ name: 'Message' })
export class MessageResponse {
  @ResponseField({ type: 'string', example: 'Done' })
  message!: string;
}
