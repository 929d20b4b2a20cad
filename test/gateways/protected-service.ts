import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';

/** A request as it came through the gateway. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** The service behind a gateway: notes what reaches it, and answers with the status that `X-Wanted-Status` asks for. */
export class ProtectedService {
  readonly seen: SeenRequest[] = [];

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(): Promise<ProtectedService> {
    const server = createServer((request, answer) => {
      let body = '';
      request.setEncoding('utf8').on('data', (part: string) => (body += part));
      request.on('end', () => {
        const { method = '', url = '', headers } = request;
        service.seen.push({ method, url, headers, body });
        answer.writeHead(Number(headers['x-wanted-status'] ?? 200), { 'x-service': 'here' }).end('served');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('It does not listen.');
    const service = new ProtectedService(server, address.port);
    return service;
  }

  /** What reached it while the work was done. */
  async during(work: () => Promise<unknown>): Promise<readonly SeenRequest[]> {
    const before = this.seen.length;
    await work();
    return this.seen.slice(before);
  }

  stop(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}
