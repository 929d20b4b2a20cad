import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { GuideFiles } from '../../src/http/guide-files.service.js';
import { rawRequest } from '../security/raw-request.js';
import { TestApp } from '../support/test-app.js';

const BROWSER = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' };
const BUILD_MS = 120_000;

describe('the docs site', () => {
  let app: TestApp;
  let origin: string;
  beforeAll(async () => {
    // Built before `npm test` runs; alone, this file may be the first to need it.
    execFileSync(process.execPath, [projectPath('scripts/guide.mjs'), '--if-stale'], { stdio: 'pipe' });
    app = await TestApp.start();
    origin = new URL(app.anonymous.baseUrl).origin;
  }, BUILD_MS);
  afterAll(() => app.stop());

  const get = (path: string, headers: Record<string, string> = BROWSER, method = 'GET') =>
    fetch(`${origin}${path}`, { headers, method, redirect: 'manual' });

  it('is served at /guide, with and without a slash at the end', async () => {
    for (const path of ['/guide', '/guide/', '/guide/tutorial', '/guide/errors/', '/guide/errors']) {
      const response = await get(path);
      expect([path, response.status, response.headers.get('content-type')]).toEqual([
        path,
        200,
        'text/html; charset=utf-8',
      ]);
      expect(await response.text()).toContain('| Latchkey</title>');
    }
  });

  it('is linked to from the API documentation, where the start page leads', async () => {
    const start = await get('/');
    expect(start.headers.get('location')).toBe('/docs');
    expect(await (await get('/docs/swagger-ui-init.js')).text()).toContain('"url": "/guide"');
  });

  it('needs nothing but this server: every script, style and link of every page is there', async () => {
    const pages = ['/guide/'];
    const seen = new Map<string, number>();
    for (let path = pages.shift(); path !== undefined; path = pages.shift()) {
      const response = await get(path);
      seen.set(path, response.status);
      if (!response.headers.get('content-type')?.startsWith('text/html')) continue;
      const html = await response.text();
      const addresses = [...html.matchAll(/\s(?:href|src)="([^"#?]+)/g)].map(([, address]) => address!);
      expect(addresses.filter((address) => /^\/\/|^http/.test(address) && isLoaded(html, address))).toEqual(
        [],
      );
      const links = addresses.filter((address) => address.startsWith('/') && !seen.has(address));
      for (const link of new Set(links)) {
        seen.set(link, 0);
        if (link.startsWith('/guide')) pages.push(link);
        else seen.set(link, (await get(link)).status);
      }
    }
    expect([...seen].filter(([, status]) => status !== 200 && status !== 302)).toEqual([]);
    const built = Object.entries(manifest().files)
      .filter(([address, { type }]) => type.startsWith('text/html') && address !== '/404')
      .map(([address]) => `/guide${address}`);
    expect(built.filter((address) => !seen.has(address))).toEqual([]);
    expect(built.length).toBeGreaterThan(80);
  });

  it('allows by its Content-Security-Policy the scripts that stand in its pages, and no unsafe ones', async () => {
    const response = await get('/guide/verification');
    const policy = response.headers.get('content-security-policy') ?? '';
    const html = await response.text();
    const scripts = [...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g)].map(
      ([, text = '']) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`,
    );
    expect(scripts.filter((digest) => !policy.includes(digest))).toEqual([]);
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    expect(html).not.toMatch(/\sstyle="|<style|\son\w+="/);
  });

  it('has a search index that knows its pages', async () => {
    const index =
      Object.keys(manifest().files).find((address) => address.includes('localSearchIndexroot')) ?? '';
    const response = await get(`/guide${index}`);
    const text = await response.text();
    expect(response.status).toBe(200);
    const looked = ['/guide/verification', 'introspection'].map((word) => [word, text.includes(word)]);
    expect(looked).toEqual(looked.map(([word]) => [word, true]));
  });

  it('is not sent again to a browser that has it, and its assets are kept for ever', async () => {
    const first = await get('/guide/verification');
    const tag = first.headers.get('etag') ?? '';
    expect(first.headers.get('cache-control')).toBe('no-cache');
    const second = await get('/guide/verification', { ...BROWSER, 'if-none-match': tag });
    expect([second.status, await second.text()]).toEqual([304, '']);
    // Of a file and its compressed form alike, so weak; and HEAD gets the length that GET would have had.
    expect(tag).toMatch(/^W\/"/);
    const known = { 'if-none-match': tag };
    for (const path of ['/guide/verification', '/openapi.json', '/openapi.yaml']) {
      const full = await rawRequest(app.anonymous.baseUrl, 'GET', path);
      const head = await rawRequest(app.anonymous.baseUrl, 'HEAD', path, { ...known, 'if-none-match': '*' });
      expect([path, head.status, head.headers['content-length']]).toEqual([
        path,
        304,
        full.headers['content-length'],
      ]);
    }
    const [, asset = ''] = /src="(\/guide\/assets\/app[^"]+)"/.exec(await first.text()) ?? [];
    expect((await get(asset)).headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
  });

  it('answers HEAD as GET without the content, and compressed only where that is accepted', async () => {
    const head = await get('/guide/verification', BROWSER, 'HEAD');
    expect([head.status, await head.text()]).toEqual([200, '']);
    for (const accepted of [undefined, 'br', 'gzip;q=0, identity', 'identity, *;q=0']) {
      const headers: Record<string, string> = accepted === undefined ? {} : { 'accept-encoding': accepted };
      const plain = await rawRequest(app.anonymous.baseUrl, 'GET', '/guide/verification', headers);
      expect(plain.headers['content-encoding']).toBeUndefined();
      expect(plain.text).toContain('<title>Verification');
    }
    for (const accepted of ['gzip', 'GZIP;q=0.5', 'br, *']) {
      const packed = await rawRequest(app.anonymous.baseUrl, 'GET', '/guide/verification', {
        'accept-encoding': accepted,
      });
      expect(packed.headers['content-encoding']).toBe('gzip');
    }
  });

  it('answers 404 with a page for browsers and a problem for programs', async () => {
    const page = await get('/guide/no-such-page');
    expect([page.status, page.headers.get('content-type')]).toEqual([404, 'text/html; charset=utf-8']);
    expect(page.headers.get('cache-control')).toBe('no-cache');
    expect((await get('/guide/404')).status).toBe(404);
    const problem = await get('/guide/no-such-page', { accept: 'application/json' });
    expect([problem.status, ((await problem.json()) as { code: string }).code]).toEqual([
      404,
      'request.route_not_found',
    ]);
  });

  it('is not needed: without it the service starts, and /guide is not found', async () => {
    const files = new GuideFiles(projectPath('dist-guide/nothing'));
    expect([await files.contentSecurityPolicy(), await files.find('/')]).toEqual([undefined, undefined]);
  });

  it.each([
    '/guide/../package.json',
    '/guide/..%2f..%2fpackage.json',
    '/guide/site.json',
    '/guide/%00',
    '/guide/__proto__',
    '/guide/assets/',
  ])('opens no other file: %s', async (path) => {
    const { status, text } = await rawRequest(app.anonymous.baseUrl, 'GET', path);
    expect([404, 400]).toContain(status);
    expect(text).not.toContain('"dependencies"');
  });
});

/** What was built, as the build lists it. */
function manifest() {
  const text = readFileSync(projectPath('dist-guide/site.json'), 'utf8');
  return JSON.parse(text) as { files: Record<string, { type: string }> };
}

/** Whether a page loads an address itself, instead of linking to it. */
function isLoaded(html: string, address: string): boolean {
  return new RegExp(
    `<(script|link|img)[^>]*"${address.replaceAll(/[.*+?^$()[\]{}|\\]/g, String.raw`\$&`)}`,
  ).test(html);
}
