import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { serveTasks } from './child-task.js';
import type { LoadPlan, LoadRequest, LoadResult } from './load-plan.js';
import { percentile } from './statistics.js';

/*
 * A process that makes load and does nothing else. It speaks the little HTTP/1.1 that it needs by itself (keep-alive,
 * no pipelining, answers with a Content-Length), so that its core is never what limits a server.
 */

const LONGEST_ANSWER_MS = 30_000;
const HEAD_END = '\r\n\r\n';
const CONTENT_LENGTH = /\r\ncontent-length: (\d+)/i;

async function run(plan: LoadPlan): Promise<LoadResult> {
  const requests = plan.requests.map((request) => encode(plan, request));
  const sockets = await Promise.all(Array.from({ length: plan.connections }, () => open(plan.port)));
  const latencies: number[] = [];
  const refused: Record<string, number> = {};
  let sent = 0;
  let answeredInTime = 0;
  const startedAt = performance.now();
  const endsAt = startedAt + plan.seconds * 1000;

  const next = () => requests[sent++ % requests.length] ?? Buffer.alloc(0);
  const note = (status: number, beganAt: number, now: number) => {
    if (status < 200 || status > 299) refused[status] = (refused[status] ?? 0) + 1;
    latencies.push(now - beganAt);
    if (now > endsAt) return false;
    answeredInTime += 1;
    return true;
  };
  try {
    await Promise.all(sockets.map((socket) => converse(socket, next, note)));
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  const sorted = Float64Array.from(latencies).toSorted();
  return {
    requestsPerSecond: answeredInTime / plan.seconds,
    answered: latencies.length,
    refused,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    maxMs: percentile(sorted, 1),
  };
}

function encode(plan: LoadPlan, request: LoadRequest): Buffer {
  const body = request.body === undefined ? '' : JSON.stringify(request.body);
  const headers = {
    host: `127.0.0.1:${plan.port}`,
    ...plan.headers,
    ...request.headers,
    ...(body === '' ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return Buffer.from(`${plan.method} ${request.path} HTTP/1.1\r\n${lines.join('\r\n')}${HEAD_END}${body}`);
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return socket;
}

/** Sends a request, waits for its answer, and so on until `note` has had enough. */
function converse(
  socket: Socket,
  next: () => Buffer,
  note: (status: number, beganAt: number, now: number) => boolean,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let beganAt = 0;
    let received: Buffer | undefined;
    const send = () => {
      beganAt = performance.now();
      socket.write(next());
    };
    socket.setTimeout(LONGEST_ANSWER_MS, () => reject(new Error('A request was not answered.')));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('The server closed a connection.')));
    socket.on('data', (chunk) => {
      received = received === undefined ? chunk : Buffer.concat([received, chunk]);
      const headEnd = received.indexOf(HEAD_END);
      if (headEnd === -1) return;
      const head = received.toString('latin1', 0, headEnd);
      const bodyLength = CONTENT_LENGTH.exec(head)?.[1];
      if (bodyLength === undefined) return reject(new Error(`An answer without a length: ${head}`));
      if (received.length < headEnd + HEAD_END.length + Number(bodyLength)) return;
      received = undefined;
      if (note(Number(head.slice(9, 12)), beganAt, performance.now())) send();
      else resolve();
    });
    send();
  });
}

serveTasks(run);
