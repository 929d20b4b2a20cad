import { constants, setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { serveTasks } from './child-task.js';

/** Callers that send the same request over and over. */
export interface CallerLoops {
  readonly port: number;
  readonly path: string;
  readonly token: string;
  readonly callers: number;
  readonly seconds: number;
  readonly accept?: string;
  /** Sent as JSON, with POST. */
  readonly body?: object;
  /** Statuses with which a caller goes on. Default: 200, and after a pause 429. */
  readonly statuses?: readonly number[];
}

/** After a 429, which a client is asked to wait for. */
const PAUSE_MS = 100;

/** Answers how many requests there were. */
async function run({ callers, seconds, statuses = [200, 429], ...asked }: CallerLoops): Promise<number> {
  const endsAt = performance.now() + seconds * 1_000;
  let sent = 0;
  const callAgain = async () => {
    while (performance.now() < endsAt) {
      const status = await send(asked);
      sent += 1;
      if (!statuses.includes(status)) throw new Error(`${asked.path}: ${status}`);
      if (status === 429 && !statuses.includes(401)) await sleep(PAUSE_MS);
    }
  };
  await Promise.all(Array.from({ length: callers }, callAgain));
  return sent;
}

async function send({
  port,
  path,
  token,
  accept = 'application/json',
  body,
}: Omit<CallerLoops, 'callers' | 'seconds'>): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/api/v1${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      accept,
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  for await (const _part of answer.body ?? []);
  return answer.status;
}

// Such callers have machines of their own: here they take what the service and its database leave.
setPriority(constants.priority.PRIORITY_LOW);
serveTasks(run);
