import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { TestApp } from '../support/test-app.js';
import { shown } from './example-values.js';
import { type Known, send, type Step, STORY } from './example-story.js';

/** `npm run examples` writes them anew; `npm run openapi` then puts them into the document. */
const EXAMPLES = projectPath('docs/api-examples.json');
const IS_WRITTEN = process.env['LATCHKEY_WRITE_EXAMPLES'] === '1';

interface Example {
  readonly request?: unknown;
  readonly response?: unknown;
}
interface DocumentedContent {
  readonly content?: Readonly<Record<string, { readonly example?: unknown }>>;
}
interface DocumentedOperation {
  readonly operationId: string;
  readonly requestBody?: DocumentedContent;
  readonly responses: Readonly<Record<string, DocumentedContent>>;
}

/** Operations whose answers are no example: pages, metrics, and the list of all names. */
const WITHOUT = new Set(['get_reference', 'list_error_pages', 'get_error_page', 'get_metrics']);

const exampleIn = ({ content = {} }: DocumentedContent = {}) => Object.values(content)[0]?.example;

/** Usage is shown by hours: all of the story belongs into one. */
async function untilHourIsYoung(): Promise<void> {
  const leftMs = 3_600_000 - (Date.now() % 3_600_000);
  if (leftMs < 20_000) await sleep(leftMs);
}

describe('the examples of the API document', () => {
  let app: TestApp;
  const outcomes: { step: Step; status: number; example: Example }[] = [];
  beforeAll(async () => {
    app = await TestApp.start({ environment: { TRUSTED_PROXIES: '127.0.0.1' } });
    await untilHourIsYoung();
    let known: Known = {
      secret: '',
      refreshToken: '',
      accessToken: '',
      holdId: '',
      eventId: 0,
      secretId: '',
      serviceAccountId: 0,
      invitationId: 0,
      invitationToken: '',
    };
    for (const step of STORY) {
      const { status, text, body, sent, headers } = await send(step, app.anonymous, known);
      known = { ...known, ...(status < 300 ? step.note?.(body) : {}) };
      const isJson = headers.get('content-type')?.startsWith('application/json') ?? false;
      const answered = isJson ? body : text === '' ? undefined : text;
      const example = {
        ...(sent === undefined ? {} : { request: shown(sent) }),
        ...(answered === undefined ? {} : { response: shown(answered) }),
      };
      outcomes.push({ step, status, example });
    }
    const examples = Object.fromEntries(
      shownOutcomes().map(({ step, example }) => [step.operation, example]),
    );
    if (IS_WRITTEN) writeFileSync(EXAMPLES, `${JSON.stringify(examples, undefined, 2)}\n`);
  });
  afterAll(() => app.stop());

  const shownOutcomes = () => outcomes.filter(({ step }) => !step.isHidden);

  it('work as they stand, one after the other, on a service that was just set up', () => {
    const failed = outcomes.filter(({ status }) => status >= 300);
    expect(failed.map(({ step, status, example }) => [step.operation, status, example.response])).toEqual([]);
  });

  it('are what the service really answers, for every operation', () => {
    const { paths } = JSON.parse(readFileSync(projectPath('openapi.json'), 'utf8')) as {
      paths: Record<string, Record<string, DocumentedOperation>>;
    };
    const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
    const documented = operations
      .filter(({ operationId }) => !WITHOUT.has(operationId))
      .map(({ operationId, requestBody, responses }) => [
        operationId,
        { request: exampleIn(requestBody), response: exampleIn(responses['200'] ?? responses['201']) },
      ]);
    const real = shownOutcomes().map(({ step, example }): [string, Example] => [
      step.operation,
      { request: example.request, response: example.response },
    ]);
    expect(Object.fromEntries(documented)).toEqual(Object.fromEntries(real));
  });

  it('leave rows in the audit log whose actions the reference names', async () => {
    const { body } = await app.admin.get('/reference');
    const known = new Set((body['audit_actions'] as { name: string }[]).map(({ name }) => name));
    const rows = await app.database.query<{ action: string }>('SELECT DISTINCT action FROM audit_logs');
    expect(rows.length).toBeGreaterThan(20);
    expect(rows.filter(({ action }) => !known.has(action))).toEqual([]);
  });
});
