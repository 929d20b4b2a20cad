// One flow through the client that openapi-generator made (typescript-fetch): every answer must be what the document says.
import * as latchkey from './client/src/index.js';

const BUDGET = 3_000_000_000;
let token = '';
const configuration = new latchkey.Configuration({
  basePath: process.env['LATCHKEY_URL'] ?? '',
  accessToken: () => token,
});

function expect(what: string, got: unknown, wanted: unknown): void {
  if (got !== wanted) throw new Error(`${what}: ${String(got)}, not ${String(wanted)}`);
}

const password = process.env['LATCHKEY_PASSWORD'] ?? '';
const login = await new latchkey.AuthenticationApi(configuration).login({
  loginRequest: { username: 'admin', password },
});
token = login.accessToken;

const keys = new latchkey.APIKeysApi(configuration);
const { apiKey: key, secretKey } = await keys.createApiKey({
  apiKeyCreate: { name: 'generated for fetch', isUnlimited: false, budgetLimitCents: BUDGET },
});
const secret = secretKey ?? '';
expect('budget', key.budgetLimitCents, BUDGET);

const verification = new latchkey.VerificationApi(configuration);
expect('verdict', (await verification.verifyApiKey({ verifyRequest: { key: secret } })).code, 'VALID');

const event: latchkey.UsageEvent = {
  apiKeyId: key.id,
  requestId: 'fetch-1',
  endpoint: '/v1/chat',
  method: 'POST',
  requestTokens: 1,
  responseTokens: 2,
  costCents: '0.367000',
};
expect(
  'accepted',
  (await new latchkey.UsageApi(configuration).reportUsage({ usageEvent: [event] })).accepted,
  1,
);

const holds = new latchkey.BudgetHoldsApi(configuration);
const hold = await holds.createBudgetHold({
  budgetHoldRequest: { apiKeyId: key.id, amountCents: '2500000000.5', ttlSeconds: 60 },
});
expect(
  'settled',
  (await holds.settleBudgetHold({ id: hold.id, settlement: { costCents: '12' } })).status,
  'settled',
);

expect('active', (await verification.introspectApiKey({ token: secret })).active, true);
const { auditLogs } = await new latchkey.AuditApi(configuration).listAuditLogs({ action: 'create_api_key' });
expect('audit rows', auditLogs.length > 0, true);
await keys.deleteApiKey({ id: key.id });
