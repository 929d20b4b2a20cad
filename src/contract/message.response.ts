import { ApiSchema } from '@nestjs/swagger';
import { ResponseField } from './fields.js';

@ApiSchema({ name: 'Message' })
export class MessageResponse {
  @ResponseField({ type: 'string', description: 'What was done, for a person.', example: 'Done' })
  message!: string;
}
