import { expect } from 'vitest';
import { ChangeFeed } from '../../src/change-feed/change-feed.service.js';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import type { TestApp, TestApiKey } from '../support/test-app.js';

/** What is asked beside the key. */
export type Asked = Readonly<Record<string, unknown>>;

/** The verdict on a secret; fails when there is none. */
export async function verdictOf(
  client: ApiClient,
  secret: string,
  asked: Asked = {},
): Promise<ApiAnswer['body']> {
  const answer = await client.post('/api-keys/verify', { key: secret, ...asked });
  return bodyOf(answer);
}

/** Its code alone. */
export async function codeOf(client: ApiClient, secret: string, asked: Asked = {}): Promise<string> {
  return String((await verdictOf(client, secret, asked))['code']);
}

/** Resolves when the instance knows every change that was committed before the call. */
export async function settle({ app }: TestApp): Promise<void> {
  await app.get(ChangeFeed).readNow();
}

/** Changes a key through the API and lets the instance know. */
export async function change(app: TestApp, { id }: TestApiKey, fields: Asked): Promise<void> {
  const answer = await app.admin.put(`/api-keys/${id}`, fields);
  bodyOf(answer);
  await settle(app);
}

/** An action on a key through the API, such as `deactivate`; the instance knows of it afterwards. */
export async function act(app: TestApp, { id }: TestApiKey, action: string): Promise<ApiAnswer> {
  const answer =
    action === 'delete'
      ? await app.admin.delete(`/api-keys/${id}`)
      : await app.admin.post(`/api-keys/${id}/${action}`);
  bodyOf(answer);
  await settle(app);
  return answer;
}

/** The body of an answer that is 200; what else it says is in the failure. */
export function bodyOf(answer: ApiAnswer): ApiAnswer['body'] {
  expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
  return answer.body;
}
