import { expect } from 'vitest';
import type { ApiAnswer } from './api-client.js';
import type { TestDatabase } from './database.js';

/** An audit row as it is stored, without its id and its time. */
export interface StoredAuditRow {
  readonly user_id: number | null;
  readonly api_key_id: number | null;
  readonly action: string;
  readonly resource_type: string;
  readonly resource_id: string | null;
  readonly details: Readonly<Record<string, unknown>>;
  readonly ip_address: string | null;
  readonly request_id: string | null;
  readonly success: boolean;
  readonly organization_id: number | null;
}

/** Every row that the request behind an answer left, read past the service. */
export async function auditRowsOf(database: TestDatabase, answer: ApiAnswer): Promise<StoredAuditRow[]> {
  return database.query<StoredAuditRow & Record<string, unknown>>(
    `SELECT user_id::int, api_key_id::int, action, resource_type, resource_id, details, ip_address, request_id, success,
       organization_id::int
     FROM audit_logs WHERE request_id = $1`,
    [answer.headers.get('x-request-id')],
  );
}

/** Asserts that the request left exactly one row, and what it says. */
export async function expectOneAuditRow(
  database: TestDatabase,
  answer: ApiAnswer,
  expected: Partial<StoredAuditRow>,
): Promise<void> {
  const rows = await auditRowsOf(database, answer);
  expect(rows).toEqual([
    expect.objectContaining({ ip_address: '127.0.0.1', api_key_id: null, success: true, ...expected }),
  ]);
}
