import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../support/test-app.js';

describe('POST /api-keys', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('makes a key and shows its secret', async () => {
    const answer = await app.admin.post('/api-keys', { name: 'First' });
    expect(answer.status).toBe(201);
    expect(answer.body['secret_key']).toMatch(/^en_[0-9A-Za-z]{38}$/);
  });
});
