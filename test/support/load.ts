import { Agent, request } from 'node:http';

/** What became of one request: the status of its answer, or the code of the error it met instead. */
export interface Outcome {
  readonly what: string;
  readonly status: number | undefined;
  readonly error: string | undefined;
  readonly isNewConnection: boolean;
}

/** A request to make; `path` is the whole path. */
export interface LoadRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
}

/**
 * Clients that each keep one connection alive and send the next request as soon as the last was answered. A client
 * leaves when `isOver` says so of an outcome.
 */
export class Load {
  readonly outcomes: Outcome[] = [];
  readonly #clients: Promise<void>[];
  #isStopped = false;

  constructor(
    baseUrl: string,
    headers: Record<string, string>,
    clients: number,
    next: (client: number, turn: number) => LoadRequest,
    isOver: (outcome: Outcome) => boolean = (outcome) => outcome.error !== undefined,
  ) {
    this.#clients = Array.from({ length: clients }, async (_value, client) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (let turn = 0; !this.#isStopped; turn += 1) {
        const outcome = await send(agent, baseUrl, headers, next(client, turn));
        this.outcomes.push(outcome);
        if (isOver(outcome)) break;
      }
      agent.destroy();
    });
  }

  /** Resolves when every client has left. */
  async over(): Promise<void> {
    await Promise.all(this.#clients);
  }

  /** Lets every client finish its request and leave. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.over();
  }

  /**
   * How often each status or error was met. A new connection that nobody accepted any more is `refused`: it is reset
   * when it was made just before the listener was closed.
   */
  summary(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { status, error, isNewConnection } of this.outcomes) {
      const isRefused = error === 'ECONNREFUSED' || (error === 'ECONNRESET' && isNewConnection);
      const name = isRefused ? 'refused' : (error ?? String(status));
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  }
}

function send(
  agent: Agent,
  baseUrl: string,
  headers: Record<string, string>,
  { method, path, body }: LoadRequest,
): Promise<Outcome> {
  const what = `${method} ${path}`;
  return new Promise((resolve) => {
    const sent = request(baseUrl + path, {
      agent,
      method,
      headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
    });
    const fail = (error: Error) => {
      const code = 'code' in error ? String(error.code) : error.message;
      resolve({ what, status: undefined, error: code, isNewConnection: !sent.reusedSocket });
    };
    sent.on('error', fail);
    sent.on('response', (answer) => {
      answer.on('error', fail);
      answer.on('end', () =>
        resolve({ what, status: answer.statusCode, error: undefined, isNewConnection: !sent.reusedSocket }),
      );
      answer.resume();
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
