import { Agent, type IncomingHttpHeaders, request } from 'node:http';

/** A request of somebody outside; `from` is their address. */
export interface Outside {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly from?: string;
}

export interface OutsideAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Sends the path and the headers as they are, each request on a connection of its own. */
export function send(
  port: number,
  { method = 'GET', path = '/', headers = {}, body, from = '127.0.0.1' }: Outside = {},
): Promise<OutsideAnswer> {
  return new Promise((resolve, reject) => {
    const sent = request({
      agent: new Agent({ localAddress: from }),
      host: '127.0.0.1',
      port,
      method,
      path,
      headers,
    });
    sent.on('error', reject);
    sent.on('response', (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
    });
    sent.end(body);
  });
}
