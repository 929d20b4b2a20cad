import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { TestApp } from '../support/test-app.js';

/** One measurement: a name, its labels, its value. */
interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

describe('GET /metrics', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('answers in the text format of Prometheus', async () => {
    const answer = await app.anonymous.get('//metrics');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    for (const line of answer.text.trimEnd().split('\n')) {
      expect(line).toMatch(
        /^$|^# (HELP|TYPE) \w+ .+$|^[a-z_]\w*(\{(\w+="[^"\n]*",?)*\})? (-?[\d.e+-]+|NaN|[+-]Inf)$/i,
      );
    }
  });

  it('has the series that operators are told of, and tells them of every one of ours', async () => {
    const documented = readFileSync(projectPath('docs/operations.md'), 'utf8');
    const { text } = await app.anonymous.get('//metrics');
    const served = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name);
    const ours = served.filter((name) => !/^(process|nodejs)_/.test(name));
    expect(ours.filter((name) => !documented.includes(`\`${name}\``))).toEqual([]);
    expect(served).toEqual(
      expect.arrayContaining([
        'http_request_duration_seconds',
        'latchkey_build_info',
        'latchkey_db_pool_connections',
        'latchkey_db_pool_idle_connections',
        'latchkey_db_pool_waiting_callers',
        'nodejs_eventloop_lag_p99_seconds',
        'process_cpu_seconds_total',
        'process_resident_memory_bytes',
      ]),
    );
  });

  it('counts each answered request once, by the pattern of its route and the class of its status', async () => {
    const labels = { method: 'GET', route: '/api/v1/api-keys/:id', status: '2xx' };
    const { id } = await app.apiKey();
    const before = await requestCount(labels);
    for (let index = 0; index < 5; index += 1) await app.admin.get(`/api-keys/${id}`);
    expect(await requestCount(labels)).toBe(before + 5);
    await app.admin.get('/api-keys/999999');
    expect(await requestCount({ ...labels, status: '4xx' })).toBeGreaterThan(0);
  });

  it('has no label whose values a caller can make up', async () => {
    const before = await labelsOfRequests();
    for (let index = 0; index < 30; index += 1) {
      await app.anonymous.get(`//made-up-${index}?and=${index}`);
      await app.anonymous.get(`/api-keys/made-up-${index}`);
      await app.anonymous.send('REPORT', `/made-up-${index}`);
      await app.anonymous.send('PURGE', '/api-keys');
      await app.admin.get('/api-keys', { host: `made-up-${index}`, 'x-request-id': `made-up-${index}` });
      await app.admin.post('/api-keys', { name: `made-up-${index}`, tags: [`made-up-${index}`] });
    }
    const { text } = await app.anonymous.get('//metrics');
    expect(text).not.toContain('made-up');
    const added = [...(await labelsOfRequests())].filter((labels) => !before.has(labels));
    expect(added.length).toBeLessThan(12);
    expect(added.join('\n')).toContain('"route":"unknown"');
  });

  it('measures the pools of connections', async () => {
    await app.admin.get('/api-keys');
    const open = (await series()).filter(({ name }) => name === 'latchkey_db_pool_connections');
    expect(open.find(({ labels }) => labels['pool'] === 'control')?.value).toBeGreaterThan(0);
    expect(open.find(({ labels }) => labels['pool'] === 'background')?.value).toBeGreaterThan(0);
  });

  async function series(): Promise<Series[]> {
    const { text } = await app.anonymous.get('//metrics');
    return [...text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name = '', labels = '', value]) => ({
      name,
      labels: Object.fromEntries(
        [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, label = '', text_ = '']) => [label, text_]),
      ),
      value: Number(value),
    }));
  }

  async function requestCount(wanted: Record<string, string>): Promise<number> {
    const counts = (await series()).filter(
      ({ name, labels }) =>
        name === 'http_request_duration_seconds_count' &&
        Object.entries(wanted).every(([label, value]) => labels[label] === value),
    );
    return counts.reduce((sum, { value }) => sum + value, 0);
  }

  async function labelsOfRequests(): Promise<Set<string>> {
    const counts = (await series()).filter(({ name }) => name === 'http_request_duration_seconds_count');
    return new Set(counts.map(({ labels }) => JSON.stringify(labels)));
  }
});
