import { once } from 'node:events';
import { connect, createServer, type NetConnectOpts, type Server, type Socket } from 'node:net';

/** Below the range from which systems give ports to outgoing connections, which could take a refused one. */
const [LOWEST_PORT, HIGHEST_PORT] = [20_000, 30_000];

/** A connection through the proxy. */
interface Link {
  readonly client: Socket;
  readonly server: Socket;
  /** It fell into a black hole. */
  isHeld: boolean;
  /** It was asked something whose answer is to be lost. */
  isAskedForLoss: boolean;
}

/** Ends every answer of PostgreSQL outside a transaction: what was asked is committed by then. */
const READY_FOR_QUERY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/**
 * Stands between the service and PostgreSQL and fails as networks do. What a black hole swallowed arrives once it
 * is healed, unless its sender has given up: so do packets that TCP sends again.
 */
export class TcpProxy {
  readonly #links = new Set<Link>();
  #listener: Server | undefined;
  #isBlackHole = false;
  #delayMs = 0;
  #loss: { readonly statement: string; readonly isNext: () => boolean } | undefined;
  #swallowed: string | undefined;
  /** Answers that were lost so far. */
  lostReplies = 0;
  /** Bytes that PostgreSQL has answered so far. */
  bytesFromServer = 0;

  private constructor(
    readonly port: number,
    private target: NetConnectOpts,
  ) {}

  /** Passes everything to the server of a `postgresql://` address, which may name a unix socket. */
  static async start(databaseUrl: string): Promise<TcpProxy> {
    const target = targetOf(databaseUrl);
    for (;;) {
      const port = LOWEST_PORT + Math.floor(Math.random() * (HIGHEST_PORT - LOWEST_PORT));
      const proxy = new TcpProxy(port, target);
      if (await proxy.#listen().then(() => true, isPortTaken)) return proxy;
    }
  }

  /** The address of a database, by way of the proxy. */
  urlOf(databaseUrl: string): string {
    const [, user = '', database = ''] = /\/\/([^/@]*)@[^/]*\/([^?]*)/.exec(databaseUrl) ?? [];
    return `postgresql://${user}@127.0.0.1:${this.port}/${database}?sslmode=disable`;
  }

  /** New connections lead to another server; those that are open stay where they are, as when an address is moved. */
  leadTo(databaseUrl: string): void {
    this.target = targetOf(databaseUrl);
  }

  /** Heals whatever was broken. */
  async pass(): Promise<void> {
    for (const link of this.#links) this.#hold(link, false);
    await this.passNewConnections();
  }

  /** Heals for connections made from now on; those that fell into a black hole are never heard of again. */
  async passNewConnections(): Promise<void> {
    this.#isBlackHole = false;
    this.#delayMs = 0;
    this.#loss = undefined;
    if (this.#listener === undefined) await this.#listen();
  }

  /** Nobody listens any more, as when the server's process has ended. */
  refuse(): void {
    this.#listener?.close();
    this.#listener = undefined;
    this.cut();
  }

  /** Connections stay open and new ones are accepted, and nothing passes, as behind a firewall that drops. */
  blackHole(): void {
    this.#isBlackHole = true;
    for (const link of this.#links) this.#hold(link, true);
  }

  /** Resets every connection; new ones are served. */
  cut(): void {
    for (const { client, server } of this.#links) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Every byte takes so much longer, each way. */
  delay(milliseconds: number): void {
    this.#delayMs = milliseconds;
  }

  /**
   * Resets the connection instead of delivering the end of PostgreSQL's answer to a statement, which it has committed,
   * as often as `isNext` says so. The statement is known by a name or a text that it is sent with.
   */
  loseReplies(statement: string, isNext: () => boolean): void {
    this.#loss = { statement, isNext };
  }

  /** A connection whose client sends this text stays open, and nothing more passes on it. */
  swallow(text: string): void {
    this.#swallowed = text;
  }

  stop(): void {
    this.refuse();
  }

  async #listen(): Promise<void> {
    const listener = createServer((client) => this.#link(client));
    listener.listen(this.port, '127.0.0.1');
    await once(listener, 'listening');
    this.#listener = listener;
  }

  #link(client: Socket): void {
    const server = connect(this.target);
    const link = { client, server, isHeld: false, isAskedForLoss: false };
    this.#links.add(link);
    server.on('data', (chunk) => (this.bytesFromServer += chunk.length));
    this.#forward(link, client, server);
    this.#forward(link, server, client);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      socket.setNoDelay(true);
      // A reset is an ending like any other here.
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#links.delete(link);
        setTimeout(() => other.destroy(), this.#delayMs);
      });
    }
    if (this.#isBlackHole) this.#hold(link, true);
  }

  #hold(link: Link, isHeld: boolean): void {
    link.isHeld = isHeld;
    for (const socket of [link.client, link.server]) {
      if (isHeld) socket.pause();
      else socket.resume();
    }
  }

  /** Delivers in the order of arrival, also when the delay has become shorter meanwhile. */
  #forward(link: Link, from: Socket, to: Socket): void {
    const onTheWay: { readonly chunk: Buffer; readonly dueAt: number }[] = [];
    const deliver = (): void => {
      while (onTheWay[0] !== undefined && onTheWay[0].dueAt <= performance.now())
        this.#deliver(onTheWay.shift()!.chunk, link, from, to);
      if (onTheWay[0] !== undefined) setTimeout(deliver, onTheWay[0].dueAt - performance.now());
    };
    from.on('data', (chunk) => {
      const dueAt = performance.now() + this.#delayMs;
      if (onTheWay.push({ chunk, dueAt }) === 1) deliver();
    });
  }

  #deliver(chunk: Buffer, link: Link, from: Socket, to: Socket): void {
    if (from === link.client && this.#swallowed !== undefined && chunk.includes(this.#swallowed)) {
      this.#hold(link, true);
      return;
    }
    if (from === link.client)
      link.isAskedForLoss ||= this.#loss !== undefined && chunk.includes(this.#loss.statement);
    else if (link.isAskedForLoss && chunk.subarray(-READY_FOR_QUERY.length).equals(READY_FOR_QUERY)) {
      link.isAskedForLoss = false;
      if (this.#loss?.isNext()) {
        this.lostReplies += 1;
        link.client.resetAndDestroy();
        link.server.destroy();
        return;
      }
    }
    if (to.destroyed || to.write(chunk)) return;
    from.pause();
    to.once('drain', () => {
      if (!link.isHeld) from.resume();
    });
  }
}

function targetOf(databaseUrl: string): NetConnectOpts {
  const url = databaseUrl.replace('@/', '@localhost/');
  const { hostname, port, searchParams } = new URL(url);
  const [host, portNumber] = [searchParams.get('host') ?? hostname, searchParams.get('port') ?? port];
  return host.startsWith('/')
    ? { path: `${host}/.s.PGSQL.${portNumber}` }
    : { host, port: Number(portNumber) };
}

function isPortTaken(error: unknown): false {
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false;
  throw error;
}
