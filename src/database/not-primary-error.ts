/** SQLSTATE `read_only_sql_transaction`. */
export const READ_ONLY_SQLSTATE = '25006';

/**
 * A server that accepts no writes: a standby, or a primary that was turned read-only, such as the old one after a
 * failover. Its data may be out of date, so it is not read either.
 */
export class NotPrimaryError extends Error {
  /** As PostgreSQL itself refuses a change there. */
  readonly code = READ_ONLY_SQLSTATE;

  constructor(message: string) {
    super(message);
    this.name = 'NotPrimaryError';
  }
}
