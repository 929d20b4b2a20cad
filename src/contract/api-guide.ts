/** What holds for every operation, as the API document begins with it; in Markdown. */
export const API_GUIDE = `The API-key service of an AI platform: create, restrict, budget, rotate and revoke API keys, ask whether a key may do
something now, and meter what keys are used for.

## Begin

1. \`POST /api/v1/auth/login\` with a username and a password returns an access token.
2. Send it as \`Authorization: Bearer …\` to \`POST /api/v1/api-keys\`. The answer shows the secret of the new key this once.
3. A service that received that secret asks \`POST /api/v1/api-keys/verify\` whether the key may do this now.
4. Afterwards it reports what that cost to \`POST /api/v1/usage\`.

## Credentials

| credential | sent as | who it is |
| --- | --- | --- |
| access token | \`Authorization: Bearer <token>\` | the user that logged in |
| API key | \`X-API-Key: <key>\` or \`Authorization: Bearer <key>\` | the owner of the key, limited to its \`platform:\` scopes |

Send one of them. Each operation says which permission it needs; \`GET /api/v1/reference\` lists all permissions.

## Requests

- Bodies are JSON; introspection takes a form. Unknown properties and values of another type are 422.
- \`null\` clears a field that may be empty. A field that an update does not send stays as it is.
- Times are ISO 8601 with a time zone; those of answers are UTC. Money is in cents with up to six decimals.
- Creating and regenerating keys take an \`Idempotency-Key\`. Usage events and holds are idempotent by their \`request_id\`.
- The \`ETag\` of a key sent as \`If-Match\` of an update makes it fail with 412 when somebody else changed the key meanwhile.
- Lists have \`page\` and \`size\`, or \`cursor\` from the \`next_cursor\` of the page before, which neither repeats nor skips.

## Answers

- 200 with JSON, or 201 where something was created. Everything else is a problem document (RFC 9457). Decide by its \`code\`, or
  by the status where you do not know the code. \`type\` is the address of a page that explains it.
- New properties, codes and other values may be added at any time: ignore properties that you do not know.
- Integers end at 2^53 − 1. The property with \`_decimal\` behind its name has all digits.
- After 429 and 503 wait for \`Retry-After\` seconds. A verdict is never wrong because something is unavailable: it is 503.
- \`X-Request-Id\` of every answer is in the log and in the audit log. Send your own to have it used.`;
