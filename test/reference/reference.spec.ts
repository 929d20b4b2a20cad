import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PERMISSIONS } from '../../src/auth/permissions.js';
import { expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';

const PUBLIC_URL = 'https://keys.example.com/base';

interface DescribedOperation {
  readonly operationId: string;
  readonly 'x-access-rule'?: { readonly permission?: string; readonly alternative?: string };
  readonly 'x-error-codes': readonly string[];
}

describe('what a client can read of the service itself', () => {
  let app: TestApp;
  let operations: DescribedOperation[];
  beforeAll(async () => {
    app = await TestApp.start({ environment: { PUBLIC_URL } });
    const { body } = await app.anonymous.get('//openapi.json');
    operations = Object.values(body['paths'] as Record<string, Record<string, DescribedOperation>>).flatMap(
      (methods) => Object.values(methods),
    );
  });
  afterAll(() => app.stop());

  const namesOf = (entries: unknown) => (entries as { name: string }[]).map(({ name }) => name);

  it('needs a credential, and no permission', async () => {
    expectProblem(await app.anonymous.get('/reference'), 'auth.credential_missing');
    const { client } = await app.user();
    expect((await client.get('/reference')).status).toBe(200);
  });

  it('names every permission that a route asks for, every error code and every verdict code, with its meaning', async () => {
    const { body } = await app.admin.get('/reference');
    const asked = operations.flatMap(({ 'x-access-rule': rule }) => [rule?.permission, rule?.alternative]);
    expect(new Set(namesOf(body['permissions']))).toEqual(
      new Set([...asked.filter((permission) => permission !== undefined), 'platform:budgets:update']),
    );
    expect(namesOf(body['permissions'])).toEqual(Object.keys(PERMISSIONS));
    const codes = (body['error_codes'] as { code: string }[]).map(({ code }) => code);
    expect(codes).toEqual(
      expect.arrayContaining([...new Set(operations.flatMap((each) => each['x-error-codes']))]),
    );
    expect(namesOf(body['verdict_codes'])).toEqual(
      expect.arrayContaining(['VALID', 'NOT_FOUND', 'RATE_LIMITED']),
    );
    expect(namesOf(body['audit_actions'])).toEqual(expect.arrayContaining(['login', 'budget_exhausted']));
    for (const list of Object.values(body) as Record<string, unknown>[][])
      for (const entry of list) expect(Object.values(entry)).not.toContain('');
  });

  it('leads from each error code to its page', async () => {
    const { body } = await app.admin.get('/reference');
    for (const { type } of body['error_codes'] as { type: string }[])
      expect([type, (await app.anonymous.get(`/${type}`)).status]).toEqual([type, 200]);
  });

  it('is reached where PUBLIC_URL says, by the document that it serves', async () => {
    expect((await app.anonymous.get('//openapi.json')).body['servers']).toEqual([{ url: PUBLIC_URL }]);
    expect((await app.anonymous.get('//docs/swagger-ui-init.js')).text).toContain(`"url": "${PUBLIC_URL}"`);
    expect((await app.anonymous.get('//openapi.yaml')).text).toContain(`- url: ${PUBLIC_URL}`);
  });

  it.each([
    'keys.example.com',
    'ftp://keys.example.com',
    'https://keys.example.com/',
    'https://a@b.example.com',
  ])('is not started with %s as its PUBLIC_URL', async (value) => {
    await expect(TestApp.start({ environment: { PUBLIC_URL: value } })).rejects.toThrow(/PUBLIC_URL must be/);
  });
});
