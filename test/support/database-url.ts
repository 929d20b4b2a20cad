/** The same server, another database. Addresses of unix sockets have no host, which `URL` does not read. */
export function withDatabase(serverUrl: string, database: string): string {
  return serverUrl.replace(/@([^/]*)\/[^?]*/, `@$1/${database}`);
}
