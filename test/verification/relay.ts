import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { TcpProxy } from '../support/tcp-proxy.js';

/** Passes connections on to a port of this machine, which may become another one; may swallow some for ever. */
export class Relay {
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly listener: Server,
    private readonly target: { port: number },
  ) {}

  /** A connection whose client sends the text that `swallows` is stays open, and nothing more passes on it. */
  static async start(targetPort: number, swallows?: string): Promise<Relay> {
    const target = { port: targetPort };
    const listener = createServer((client) => {
      const server = connect(target.port, '127.0.0.1');
      relay.#sockets.add(client).add(server);
      client.on('data', (chunk) => {
        if (swallows !== undefined && chunk.includes(swallows)) {
          client.pause();
          server.pause();
        } else {
          server.write(chunk);
        }
      });
      server.on('data', (chunk) => client.write(chunk));
      for (const [socket, other] of [
        [client, server],
        [server, client],
      ] as const) {
        socket.setNoDelay(true);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          relay.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
    const relay = new Relay(listener, target);
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return relay;
  }

  /** The address of a database, by way of this and then the proxy. */
  urlOf(proxy: TcpProxy, databaseUrl: string): string {
    const address = this.listener.address();
    if (address === null || typeof address === 'string') throw new Error('It does not listen.');
    return proxy.urlOf(databaseUrl).replace(`:${proxy.port}/`, `:${address.port}/`);
  }

  /** From now on connections lead elsewhere; those that were open are cut, as when an address moves. */
  switchTo(port: number): void {
    this.target.port = port;
    for (const socket of this.#sockets) socket.destroy();
  }

  stop(): void {
    this.listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
