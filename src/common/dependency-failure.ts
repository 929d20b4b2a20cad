/** SQLSTATE classes and codes that say the database is unavailable or overloaded rather than that the statement is wrong. */
const UNAVAILABLE_SQLSTATE = /^(08|28|3D000|53|55000|55P03|57P0|57014|25006|40001|40P01)/;
const SOCKET_ERRORS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
/** The last is TypeORM's, of a transaction whose connection broke between two of its statements. */
const DRIVER_MESSAGES =
  /timeout exceeded when trying to connect|query read timeout|connection terminated|connection error|not queryable|client was closed|query runner already released/i;

/** True when an error means that PostgreSQL (or Redis) could not answer now: such a call is 503, never 401 or 500. */
export function isDependencyFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const isSocketError = SOCKET_ERRORS.has(code) && 'syscall' in error && error.syscall !== 'open';
  if (UNAVAILABLE_SQLSTATE.test(code) || isSocketError || DRIVER_MESSAGES.test(error.message)) return true;
  const inner = 'driverError' in error ? error.driverError : error.cause;
  return inner !== error && isDependencyFailure(inner);
}
