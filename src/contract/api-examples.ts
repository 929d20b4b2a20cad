import { readFileSync } from 'node:fs';
import type { OpenAPIObject } from '@nestjs/swagger';
import { projectPath } from '../common/project-path.js';

interface Example {
  readonly request?: unknown;
  readonly response?: unknown;
}

interface Content {
  content?: Record<string, { example?: unknown }>;
}

/** Adds to each operation the request and the response that a run against the service left in `docs/api-examples.json`. */
export function addExamples(document: OpenAPIObject): void {
  const examples = JSON.parse(readFileSync(projectPath('docs/api-examples.json'), 'utf8')) as Record<
    string,
    Example
  >;
  for (const item of Object.values(document.paths)) {
    for (const operation of Object.values(item) as {
      operationId: string;
      requestBody?: Content;
      responses: Record<string, Content>;
    }[]) {
      const { request, response } = examples[operation.operationId] ?? {};
      show(operation.requestBody, request);
      show(operation.responses['200'] ?? operation.responses['201'], response);
    }
  }
}

function show(holder: Content | undefined, example: unknown): void {
  if (example === undefined) return;
  for (const content of Object.values(holder?.content ?? {})) content.example = example;
}
