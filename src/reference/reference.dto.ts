import { ApiSchema } from '@nestjs/swagger';
import { SERVICE_ACTIONS } from '../audit/audit-actions.js';
import { PERMISSIONS } from '../auth/permissions.js';
import { ERROR_CATALOGUE } from '../common/error-catalogue.js';
import { readApiDocument } from '../contract/api-document.js';
import { ResponseField } from '../contract/fields.js';
import { VERDICT_CODES } from '../verification/verdict.js';
import { VERDICT_MEANINGS } from '../verification/verdict-meanings.js';

@ApiSchema({ name: 'ReferenceEntry' })
export class ReferenceEntry {
  @ResponseField({ type: 'string', description: 'The name.', example: 'platform:api-keys:read' })
  name!: string;

  @ResponseField({
    type: 'string',
    description: 'What it means, in a sentence.',
    example: 'Read every API key and its usage, and sums over all of them.',
  })
  description!: string;
}

@ApiSchema({ name: 'ReferenceError' })
export class ReferenceError {
  @ResponseField({
    type: 'string',
    description: 'The `code` of the problem document.',
    example: 'api_key.not_found',
  })
  code!: string;

  @ResponseField({
    type: 'integer',
    minimum: 400,
    maximum: 599,
    description: 'The HTTP status.',
    example: 404,
  })
  status!: number;

  @ResponseField({
    type: 'string',
    description: 'The `title` of the problem document.',
    example: 'API key not found',
  })
  title!: string;

  @ResponseField({
    type: 'string',
    description: 'The `type` of the problem document: the address of a page that explains it.',
    example: '/errors/api_key.not_found',
  })
  type!: string;
}

@ApiSchema({ name: 'Reference' })
export class ReferenceResponse {
  @ResponseField({ type: () => [ReferenceEntry], description: 'Permissions that operations ask for.' })
  permissions!: ReferenceEntry[];

  @ResponseField({
    type: () => [ReferenceEntry],
    description: 'Values of `action` in the audit log: the operations, and what the service does by itself.',
  })
  audit_actions!: ReferenceEntry[];

  @ResponseField({
    type: () => [ReferenceEntry],
    description: 'Codes of verdicts, in the order of their checks.',
  })
  verdict_codes!: ReferenceEntry[];

  @ResponseField({ type: () => [ReferenceError], description: 'Codes of problem documents.' })
  error_codes!: ReferenceError[];
}

/** Everything that has a name on the wire, from the tables that the service itself goes by. */
export function toReference(): ReferenceResponse {
  return {
    permissions: entriesOf(PERMISSIONS),
    audit_actions: [...auditedOperations(), ...entriesOf(SERVICE_ACTIONS)],
    verdict_codes: VERDICT_CODES.map((name) => ({ name, description: VERDICT_MEANINGS[name] })),
    error_codes: Object.entries(ERROR_CATALOGUE).map(([code, { status, title }]) => ({
      code,
      status,
      title,
      type: `/errors/${code}`,
    })),
  };
}

/** Those of the API itself: health, metrics and pages leave no row. */
function auditedOperations(): ReferenceEntry[] {
  return Object.values(readApiDocument().paths)
    .flatMap((methods) => Object.values(methods as Readonly<Record<string, DescribedOperation>>))
    .filter(({ tags }) => !tags.includes('Service'))
    .map(({ operationId, summary }) => ({ name: operationId, description: `${summary}.` }));
}

interface DescribedOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
}

function entriesOf(meanings: Readonly<Record<string, string>>): ReferenceEntry[] {
  return Object.entries(meanings).map(([name, description]) => ({ name, description }));
}
