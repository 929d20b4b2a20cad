import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** Between two questions to an instance, so that it has time for other things. */
const PAUSE_MS = 1;
/** A key is over at an instance when it was refused so often in a row. */
const LAST_REFUSALS = 20;

type Body = Readonly<Record<string, any>>; // oxlint-disable-line typescript/no-explicit-any

/** Asks one instance about a key over one connection, from before it ends until it has ended. */
export class KeyWatch {
  /** Resolves with the first "valid". */
  readonly known: Promise<void>;
  /** Resolves with the moment at which the last "valid" arrived. */
  readonly over: Promise<number>;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(
    private readonly port: number,
    private readonly callerSecret: string,
    private readonly secret: string,
  ) {
    let tellKnown: () => void = () => undefined;
    this.known = new Promise((resolve) => (tellKnown = resolve));
    this.over = this.#watch(tellKnown);
  }

  async #watch(tellKnown: () => void): Promise<number> {
    let lastYesAt = 0;
    for (let refusals = 0; lastYesAt === 0 || refusals < LAST_REFUSALS; refusals += 1) {
      const { valid } = await call(
        this.port,
        'POST',
        '/api-keys/verify',
        this.callerSecret,
        { key: this.secret },
        this.#agent,
      );
      if (valid) {
        lastYesAt = performance.now();
        refusals = -1;
        tellKnown();
      }
      await sleep(PAUSE_MS);
    }
    this.#agent.destroy();
    return lastYesAt;
  }
}

/** Calls an instance; fails unless the answer is 2xx. */
export function call(
  port: number,
  method: string,
  path: string,
  token: string,
  body?: unknown,
  agent?: Agent,
): Promise<Body> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    };
    const sent = request({ host: '127.0.0.1', port, method, path: `/api/v1${path}`, headers, agent });
    sent.on('error', reject);
    sent.on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('end', () => {
        if (answer.statusCode === 200 || answer.statusCode === 201) resolve(JSON.parse(text) as Body);
        else reject(new Error(`${method} ${path}: ${text}`));
      });
    });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
