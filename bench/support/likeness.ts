import type { Contender, Trial } from './comparison.js';
import type { BenchDatabase } from './seeded-database.js';
import { statementsDuring } from './statement-log.js';

/** What the reference servers call themselves towards PostgreSQL. */
const REFERENCE_APPLICATION = 'reference';

/**
 * Sends the first request of a trial to both servers, once they are warm, and looks at what they do: the reference may
 * run no statement that Latchkey does not run, and both answer the same.
 * @throws Error that shows the difference
 */
export async function checkLikeness(database: BenchDatabase, trial: Trial): Promise<void> {
  const { name, subject, reference } = trial;
  const answers: unknown[] = [];
  const statements = await statementsDuring(database, async () => {
    for (const contender of [subject, reference]) answers.push(await answerOf(contender));
  });
  const left = [...statements].flatMap(([application, texts]) =>
    application.startsWith('latchkey') ? texts : [],
  );
  const extra = (statements.get(REFERENCE_APPLICATION) ?? []).filter((statement) => {
    const index = left.indexOf(statement);
    if (index !== -1) left.splice(index, 1);
    return index === -1;
  });
  if (extra.length > 0) {
    throw new Error(
      `${name}: only the reference runs\n${extra.join('\n')}\nwhere Latchkey runs\n${left.join('\n')}`,
    );
  }
  const [ours = '', theirs = ''] = answers.map((answer) =>
    JSON.stringify(subject.plan.method === 'GET' ? answer : shapeOf(answer)),
  );
  if (ours !== theirs) throw new Error(`${name}: Latchkey answers\n${ours}\nthe reference\n${theirs}`);
}

async function answerOf({ server, plan }: Contender): Promise<unknown> {
  const [request] = plan.requests;
  const hasBody = request?.body !== undefined;
  const response = await fetch(`http://127.0.0.1:${server.port}${request?.path ?? '/'}`, {
    method: plan.method,
    headers: {
      ...plan.headers,
      ...request?.headers,
      ...(hasBody ? { 'content-type': 'application/json' } : {}),
    },
    ...(hasBody ? { body: JSON.stringify(request.body) } : {}),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${server.name} answered ${response.status}: ${text}`);
  return JSON.parse(text);
}

/** A JSON value with its scalars replaced by their types: ids and times differ between two creates. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, shapeOf(item)]));
}
