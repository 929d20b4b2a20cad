import { Agent, request } from 'node:http';

/** A call that is made with many others at once. */
export interface Call {
  /** Of an instance. */
  readonly baseUrl: string;
  readonly token: string;
  readonly path: string;
  readonly body: unknown;
}

/** More would only wait to be accepted. */
const MOST_CONNECTIONS = 250;

/** Makes all calls at once; answers their statuses and bodies, in order. */
export async function callAtOnce(
  calls: readonly Call[],
): Promise<{ readonly status: number; readonly body: Record<string, unknown> }[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: MOST_CONNECTIONS });
  try {
    return await Promise.all(calls.map((call) => send(agent, call)));
  } finally {
    agent.destroy();
  }
}

function send(
  agent: Agent,
  { baseUrl, token, path, body }: Call,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const text = JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = request(`${baseUrl}/api/v1${path}`, {
      agent,
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(text),
      },
    });
    sent.on('error', reject);
    sent.on('response', (answer) => {
      let received = '';
      answer.setEncoding('utf8').on('data', (part: string) => (received += part));
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, body: JSON.parse(received) as Record<string, unknown> }),
      );
    });
    sent.end(text);
  });
}
