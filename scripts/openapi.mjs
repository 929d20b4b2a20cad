// @ts-check
/**
 * Compares the document that the built application describes itself with to openapi.json, and fails with
 * the first place where they differ; with --write it writes openapi.json instead.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** @typedef {Record<string, unknown>} JsonObject */

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const target = path.join(root, 'openapi.json');

/** @param {unknown} value @returns {value is JsonObject} */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** @param {unknown} value @returns {unknown} an object with its keys in alphabetical order; else the value */
const sortKeys = (value) =>
  isObject(value)
    ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    : value;

/**
 * Sorts what follows the order of Nest's imports: the paths, and the components of each kind.
 * @param {JsonObject} document @returns {JsonObject}
 */
function inStableOrder(document) {
  const { paths, components, ...rest } = document;
  const kinds = Object.entries(isObject(components) ? components : {});
  return {
    ...rest,
    paths: sortKeys(paths),
    components: sortKeys(Object.fromEntries(kinds.map(([kind, named]) => [kind, sortKeys(named)]))),
  };
}

/**
 * @param {unknown} written @param {unknown} described @param {string} [at]
 * @returns {string | undefined} the first difference: a JSON pointer and what stands on both sides
 */
function firstDifference(written, described, at = '') {
  if (written === described) return undefined;
  const bothObjects = isObject(written) && isObject(described);
  const bothLists = Array.isArray(written) && Array.isArray(described);
  if (!bothObjects && !bothLists) {
    return `#${at}\n  openapi.json: ${brief(written)}\n  application:  ${brief(described)}`;
  }
  const [left, right] = [new Map(Object.entries(written)), new Map(Object.entries(described))];
  for (const key of new Set([...left.keys(), ...right.keys()])) {
    const pointer = `${at}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const difference = firstDifference(left.get(key), right.get(key), pointer);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

/** @param {unknown} value @returns {string} */
function brief(value) {
  const text = value === undefined ? '(nothing)' : JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** @returns {string} the text of openapi.json, or of an empty document where there is none */
function readWritten() {
  try {
    return readFileSync(target, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '{}';
    throw error;
  }
}

const { buildOpenApiDocument } = await import(path.join(root, 'dist/src/openapi.js'));
const document = inStableOrder(JSON.parse(JSON.stringify(await buildOpenApiDocument())));
const described = `${JSON.stringify(document, null, 2)}\n`;

if (process.argv.includes('--write')) {
  writeFileSync(target, described);
} else {
  const written = readWritten();
  if (written !== described) {
    console.error('openapi.json is not what the application describes; to renew it: npm run openapi');
    console.error(
      firstDifference(JSON.parse(written), JSON.parse(described)) ?? 'They differ only in order or layout.',
    );
    process.exitCode = 1;
  }
}
// Whatever the application left open must not keep this waiting.
process.exit();
