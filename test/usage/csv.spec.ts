import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { csvText } from '../../src/contract/csv.js';
import { expectProblem } from '../support/problems.js';
import { type TestApiKey, TestApp } from '../support/test-app.js';
import { writeRollup } from '../support/usage-rows.js';

const SPAN = 'from=2026-03-01T10:00:00Z&to=2026-03-01T12:00:00Z';
const SUMS =
  'requests,request_tokens,response_tokens,tokens,cost_cents,cost_cents_decimal,' +
  'requests_decimal,request_tokens_decimal,response_tokens_decimal,tokens_decimal';

describe('usage as CSV', () => {
  let app: TestApp;
  let key: TestApiKey;
  beforeAll(async () => {
    app = await TestApp.start();
    key = await app.apiKey(app.admin, { name: '=HYPERLINK("http://evil.example","all, of it")' });
    for (const model of ['=1+1', 'a "b", c']) {
      await writeRollup(app.database, key.id, {
        hour: new Date('2026-03-01T10:00:00Z'),
        requests: 2,
        model,
        requestTokens: 3,
        responseTokens: 4,
        costMicroCents: 1_500_000n,
      });
    }
  });
  afterAll(() => app.stop());

  const series = (query: string, accept: string) =>
    app.admin.get(`/api-keys/${key.id}/usage/series?interval=hour&${SPAN}${query}`, { accept });

  it('is a series with a header and a row for each bucket', async () => {
    const answer = await series('', 'text/csv');
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    expect(answer.headers.get('vary')).toContain('Accept');
    expect(answer.text).toBe(
      [
        `start,${SUMS}`,
        '2026-03-01T10:00:00.000Z,4,6,8,14,3,3.000000,4,6,8,14',
        '2026-03-01T11:00:00.000Z,0,0,0,0,0,0.000000,0,0,0,0',
        '',
      ].join('\r\n'),
    );
  });

  it('quotes what would break a row, and runs nothing in a spreadsheet', async () => {
    expect((await series('&group_by=model', 'text/csv')).text).toBe(
      [
        `start,model,${SUMS}`,
        `2026-03-01T10:00:00.000Z,'=1+1,2,3,4,7,2,1.500000,2,3,4,7`,
        `2026-03-01T11:00:00.000Z,'=1+1,0,0,0,0,0,0.000000,0,0,0,0`,
        `2026-03-01T10:00:00.000Z,"a ""b"", c",2,3,4,7,2,1.500000,2,3,4,7`,
        `2026-03-01T11:00:00.000Z,"a ""b"", c",0,0,0,0,0,0.000000,0,0,0,0`,
        '',
      ].join('\r\n'),
    );
  });

  it('is a summary whose sections share their columns', async () => {
    const answer = await app.admin.get(`/usage/summary?${SPAN}`, { accept: 'text/csv' });
    expect(answer.text).toBe(
      [
        `section,api_key_id,name,model,day,${SUMS}`,
        'total,,,,,4,6,8,14,3,3.000000,4,6,8,14',
        `api_key,${key.id},"'=HYPERLINK(""http://evil.example"",""all, of it"")",,,4,6,8,14,3,3.000000,4,6,8,14`,
        `model,,,'=1+1,,2,3,4,7,2,1.500000,2,3,4,7`,
        `model,,,"a ""b"", c",,2,3,4,7,2,1.500000,2,3,4,7`,
        'day,,,,2026-03-01,4,6,8,14,3,3.000000,4,6,8,14',
        '',
      ].join('\r\n'),
    );
  });

  it('is answered only when it is asked for; JSON by default', async () => {
    for (const accept of ['*/*', 'application/json', 'application/*', 'application/json, text/csv']) {
      expect((await series('', accept)).headers.get('content-type')).toMatch(/^application\/json/);
    }
    for (const accept of [
      'text/csv',
      'text/*',
      'TEXT/CSV;header=present',
      'application/json;q=0.5, text/csv',
    ]) {
      expect((await series('', accept)).headers.get('content-type')).toMatch(/^text\/csv/);
    }
  });

  it('refuses to answer in anything else', async () => {
    for (const path of [`/api-keys/${key.id}/usage/series?${SPAN}`, `/usage/summary?${SPAN}`]) {
      for (const accept of ['image/png', 'text/html', 'application/json;q=0', '*/*;q=0']) {
        expectProblem(await app.admin.get(path, { accept }), 'request.not_acceptable');
      }
    }
    const stranger = await app.user();
    const refused = await stranger.client.get(`/api-keys/${key.id}/usage/series`, { accept: 'text/csv' });
    expectProblem(refused, 'permission.denied');
  });

  it.each([
    ['=1', "'=1"],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', "'\t=1"],
    ['  =1', "'  =1"],
    ['＝1', "'＝1"],
    ['\r1', '"\'\r1"'],
    ['a=1', 'a=1'],
    ['a\nb', '"a\nb"'],
    ['a"b', '"a""b"'],
    ['', ''],
    [null, ''],
    [-1, '-1'],
  ])('writes %j as %j', (cell, written) => {
    expect(csvText(['h'], [[cell]])).toBe(`h\r\n${written}\r\n`);
  });
});
