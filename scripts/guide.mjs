// @ts-check
/**
 * Builds the docs site of the Markdown in the project with VitePress, without a network: a folder in `dist-guide/`,
 * and `dist-guide/site.json`, from which the service serves it at /guide. With --if-stale it builds only when an input has
 * changed since the last build, and never where VitePress (`npm ci --omit=dev`) or the documents are missing.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { digestOf, filesOf, root } from './digest.mjs';

const output = path.join(root, 'dist-guide');
/** Two builds at once have places of their own; the later one wins. */
const workplace = path.join(output, `build-${process.pid}`);
const source = path.join(workplace, 'source');
const site = path.join(workplace, 'site');
const manifest = path.join(output, 'site.json');
/** The digest of the inputs of the site that is there, and of those that could not be built. */
const stamp = path.join(output, '.inputs');
const failure = path.join(output, '.failed');

/** Pages beside `docs/`, and where the site has them. */
const projectPages = new Map(
  ['README', 'ARCHITECTURE', 'CONTRIBUTING', 'SECURITY', 'CHANGELOG'].map((name) => [
    `${name}.md`,
    `project/${name.toLowerCase()}.md`,
  ]),
);

/** All that the site is built from. */
const inputs = [
  ...projectPages.keys(),
  'docs',
  'scripts/guide.mjs',
  'scripts/digest.mjs',
  'package-lock.json',
];

const mediaTypes = new Map([
  ['.html', 'text/html; charset=utf-8'],
  ['.js', 'text/javascript; charset=utf-8'],
  ['.css', 'text/css; charset=utf-8'],
  ['.json', 'application/json; charset=utf-8'],
  ['.svg', 'image/svg+xml'],
  ['.woff2', 'font/woff2'],
  ['.png', 'image/png'],
]);

/** Shorter files, in bytes, are sent as they are. */
const shortestCompressed = 1_024;

/** @returns {string[]} the Markdown of the site, relative to the root */
const pages = () => [
  ...projectPages.keys(),
  ...filesOf(path.join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

/** @param {string} page relative to the root @returns {string} its path in the site's source */
function placeOf(page) {
  const place = projectPages.get(page) ?? page.replace(/^docs\//, '');
  return place.replace(/(^|\/)README\.md$/, '$1index.md');
}

/**
 * The text of a page with links as the site has them. What the site does not have, such as a source file, is named without
 * a link.
 * @param {string} page @param {string} text @param {ReadonlySet<string>} known @returns {string}
 */
function withLinks(page, text, known) {
  return text.replaceAll(
    /\[([^\]]*)\]\(([^()\s]+)\)/g,
    (whole, /** @type {string} */ label, /** @type {string} */ target) => {
      if (/^(https?:|mailto:|#)/.test(target)) return whole;
      const [file = '', anchor = ''] = target.split('#');
      let named = path.posix.normalize(path.posix.join(path.posix.dirname(page), file)).replace(/\/$/, '');
      if (known.has(`${named}/README.md`)) named = `${named}/README.md`;
      if (!named.endsWith('.md')) return label;
      const link = `/${placeOf(named)}`.replace(/\.md$/, '').replace(/(^|\/)index$/, '$1');
      return `[${label}](${link}${anchor === '' ? '' : `#${anchor}`})`;
    },
  );
}

/** Writes what VitePress reads: all pages in one folder, with links between them. */
function writeSource() {
  const all = pages();
  const known = new Set(all);
  for (const page of all) {
    const target = path.join(source, placeOf(page));
    mkdirSync(path.dirname(target), { recursive: true });
    const text = readFileSync(path.join(root, page), 'utf8').replaceAll(/^<!--.*?-->\n/gm, '');
    writeFileSync(target, withLinks(page, text, known));
  }
  cpSync(path.join(root, 'docs/.vitepress'), path.join(source, '.vitepress'), { recursive: true });
}

/** @param {string} file @returns {string} the path at which a file of the site is served, below /guide */
const addressOf = (file) => `/${file}`.replace(/\.html$/, '').replace(/\/index$/, '/');

/**
 * Notes what is served, and the digests of the scripts that stand in pages.
 * @param {string} folder where the site will be, below `dist-guide`
 */
function writeManifest(folder) {
  /** @type {Set<string>} */
  const scripts = new Set();
  const files = filesOf(site).flatMap((file) => {
    const type = mediaTypes.get(path.extname(file));
    if (type === undefined) return [];
    const content = readFileSync(path.join(site, file));
    if (file.endsWith('.html')) {
      for (const [, script = ''] of content
        .toString()
        .matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g))
        scripts.add(`'sha256-${createHash('sha256').update(script).digest('base64')}'`);
    }
    // Weak: the same names the file and its gzip form.
    const etag = `W/"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
    const isImmutable = file.startsWith('assets/');
    const isCompressed = content.length > shortestCompressed;
    if (isCompressed) writeFileSync(path.join(site, `${file}.gz`), gzipSync(content, { level: 9 }));
    return [[addressOf(file), { file, type, etag, isImmutable, isCompressed }]];
  });
  const content = { folder, scripts: [...scripts].toSorted(), files: Object.fromEntries(files) };
  writeFileSync(path.join(workplace, 'site.json'), `${JSON.stringify(content)}\n`);
}

/** @param {string} folder the site of now; the one before stays for a service that is still serving it */
function removeOldSites(folder) {
  const sites = readdirSync(output)
    .filter((name) => name.startsWith('site-') && name !== folder)
    .map((name) => ({ name, age: statSync(path.join(output, name)).mtimeMs }))
    .toSorted((a, b) => b.age - a.age);
  for (const { name } of sites.slice(1)) rmSync(path.join(output, name), { recursive: true, force: true });
}

/** @returns {boolean} whether the site was built; the one before stays where it is when that fails */
function build() {
  const digest = digestOf(inputs);
  const folder = `site-${digest.slice(0, 16)}-${process.pid}`;
  try {
    writeSource();
    const vitepress = path.join(root, 'node_modules/vitepress/bin/vitepress.js');
    const options = [vitepress, 'build', source, '--outDir', site];
    if (spawnSync(process.execPath, options, { stdio: 'inherit' }).status !== 0) {
      writeFileSync(failure, digest);
      return false;
    }
    writeManifest(folder);
    renameSync(site, path.join(output, folder));
    renameSync(path.join(workplace, 'site.json'), manifest);
    writeFileSync(stamp, digest);
    removeOldSites(folder);
    return true;
  } finally {
    rmSync(workplace, { recursive: true, force: true });
  }
}

/** @returns {'impossible' | 'stale' | 'failed' | 'fresh'} how the site stands; `impossible` where it cannot be built */
export function guideState() {
  const isPossible =
    existsSync(path.join(root, 'node_modules/vitepress')) && existsSync(path.join(root, 'docs/.vitepress'));
  if (!isPossible) return 'impossible';
  const digest = digestOf(inputs);
  const isOf = (/** @type {string} */ file) => existsSync(file) && readFileSync(file, 'utf8') === digest;
  if (isOf(stamp) && existsSync(manifest)) return 'fresh';
  return isOf(failure) ? 'failed' : 'stale';
}

const isProgram = process.argv[1] === fileURLToPath(import.meta.url);
if (isProgram && !(process.argv.includes('--if-stale') && guideState() !== 'stale') && !build())
  process.exitCode = 1;
