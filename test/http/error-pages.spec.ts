import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERROR_CATALOGUE } from '../../src/common/error-catalogue.js';
import { projectPath } from '../../src/common/project-path.js';
import { rawRequest } from '../security/raw-request.js';
import { TestApp } from '../support/test-app.js';

const CODES = Object.keys(ERROR_CATALOGUE) as (keyof typeof ERROR_CATALOGUE)[];

describe('the page of an error', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it.each(CODES)('exists and is served: %s', async (code) => {
    expect(existsSync(projectPath(`docs/errors/${code}.md`))).toBe(true);
    const page = readFileSync(projectPath(`docs/errors/${code}.md`), 'utf8');
    const answer = await app.anonymous.get(`//errors/${code}`);
    expect([answer.status, answer.text]).toEqual([200, page]);
    expect(answer.headers.get('content-type')).toMatch(/^text\/markdown/);
    expect(page).toContain(code);
    expect(page).toContain(String(ERROR_CATALOGUE[code].status));
  });

  it('is HTML for a browser, with links that lead on', async () => {
    const browser = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };
    for (const path of ['//errors', '//errors/api_key.not_found']) {
      const answer = await app.anonymous.get(path, browser);
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
      const links = [...answer.text.matchAll(/href="(\/[^"]*)"/g)].map(([, href = '']) => `/${href}`);
      expect(links).toContain('//errors/permission.denied');
      for (const link of new Set(links))
        expect([link, (await app.anonymous.get(link, browser)).status]).toEqual([link, 200]);
    }
  });

  it('is listed at /errors with all others', async () => {
    const { status, text } = await app.anonymous.get('//errors');
    expect(status).toBe(200);
    expect(CODES.filter((code) => !text.includes(`(${code}.md)`))).toEqual([]);
  });

  it('is reached from the start page, which leads a browser to the API documentation', async () => {
    const answer = await fetch(`${app.anonymous.baseUrl.replace(/\/api\/v1$/, '')}/`, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('location')]).toEqual([302, '/docs']);
  });

  it('leads to the API document, which a caller that has it already gets no second time', async () => {
    for (const [path, begin] of [
      ['//openapi.json', '{"openapi":"3.1.0"'],
      ['//openapi.yaml', 'openapi: 3.1.0'],
    ] as const) {
      const answer = await app.anonymous.get(path);
      expect([answer.status, answer.text.slice(0, begin.length)]).toEqual([200, begin]);
      const etag = answer.headers.get('etag')!;
      for (const [tags, status] of [
        [etag, 304],
        [`"other", W/${etag}`, 304],
        ['*', 304],
        ['"other"', 200],
      ] as const) {
        const again = await app.anonymous.get(path, { 'if-none-match': tags });
        expect([tags, again.status, again.headers.get('etag')]).toEqual([tags, status, etag]);
        expect(again.text).toBe(status === 304 ? '' : answer.text);
      }
    }
  });

  it('is where the type of a problem points', async () => {
    const { body } = await app.anonymous.get('/users');
    expect((await app.anonymous.get(`/${body['type'] as string}`)).status).toBe(200);
  });

  it('is there for every code and for no other', () => {
    const pages = readdirSync(projectPath('docs/errors')).filter((name) => name !== 'README.md');
    expect(pages.toSorted()).toEqual(CODES.map((code) => `${code}.md`).toSorted());
  });

  it.each([
    'no.such.code',
    'README',
    '__proto__',
    'constructor',
    'toString',
    'Permission.Denied',
    'permission.denied.md',
    '..%2f..%2fpackage.json',
    '%2e%2e%2f%2e%2e%2f.env',
    '..%5c..%5cpackage',
    'permission.denied%00',
    '%2fetc%2fpasswd',
  ])('is not there for what is no code: %s', async (code) => {
    const { status } = await rawRequest(app.anonymous.baseUrl, 'GET', `/errors/${code}`);
    expect([404, 422]).toContain(status);
  });

  it('is framed by no other page, nor are the pages of the API document, which keep a credential', async () => {
    for (const path of ['//errors/api_key.not_found', '//docs', '//docs/swagger-ui-bundle.js']) {
      const { headers } = await app.anonymous.get(path, { accept: 'text/html' });
      const policy = headers.get('content-security-policy') ?? '';
      expect([path, policy]).toEqual([
        path,
        expect.stringMatching(/default-src 'none'.*frame-ancestors 'none'/),
      ]);
      expect([path, /script-src[^;]*unsafe/.test(policy)]).toEqual([path, false]);
    }
  });

  it('opens no other file, nor do the pages of the API document', async () => {
    const paths = [
      '/errors/../package.json',
      '/docs/../package.json',
      '/docs/..%2f..%2fpackage.json',
      '/docs/%2e%2e/x',
      '/docs//x',
      '/docs/%00',
    ];
    for (const path of paths) {
      const { status, text } = await rawRequest(app.anonymous.baseUrl, 'GET', path);
      expect([path, status]).toEqual([path, 404]);
      expect(text).not.toContain('"dependencies"');
    }
  });
});
