// @ts-check
/**
 * Writes the tables of the documents that are generated from the code, between markers such as
 * `<!-- generated: jobs -->` and `<!-- end -->`, and `.env.example` as a whole. With --check it changes nothing and fails,
 * naming each file that is not what the code says.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** @typedef {Awaited<ReturnType<typeof import('../src/doc-facts.js').readDocFacts>>} Facts */
/** @typedef {{ meaning: string, default: string | number, minimum?: number, maximum?: number, example?: string }} Setting */
/** @typedef {{ kind: string, permission?: string, alternative?: string }} AccessRule */
/** @typedef {{ 'x-access-rule'?: AccessRule, summary?: string }} Operation */

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** @type {{ readDocFacts: () => Promise<Facts> }} */
const { readDocFacts } = await import(path.join(root, 'dist/src/doc-facts.js'));
const facts = await readDocFacts();

/** @param {string} name @returns {string} */
const read = (name) => readFileSync(path.join(root, name), 'utf8');

/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows @returns {string} */
function table(head, rows) {
  const line = (/** @type {readonly string[]} */ cells) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [head, head.map(() => '---'), ...rows].map(line).join('\n');
}

/** @template {{ name: string }} T @param {readonly T[]} things @returns {T[]} */
const byName = (things) => things.toSorted((a, b) => (a.name < b.name ? -1 : 1));

/** @param {number} seconds @returns {string} */
function interval(seconds) {
  if (seconds % 3_600 === 0) return seconds === 3_600 ? 'hour' : `${seconds / 3_600} hours`;
  if (seconds % 60 === 0) return seconds === 60 ? 'minute' : `${seconds / 60} minutes`;
  return `${seconds} seconds`;
}

/** @param {Setting} setting @returns {string} its meaning with the bounds of a number */
const meaningOf = ({ meaning, minimum, maximum }) =>
  minimum === undefined || maximum === undefined ? meaning : `${meaning} From ${minimum} to ${maximum}.`;

/** @returns {[string, Setting][]} */
const settings = () => Object.values(facts.settings).flatMap((group) => Object.entries(group));

/** @param {AccessRule | undefined} rule @returns {string} who may call a route, as a heading of the table says it */
function callers(rule) {
  const permission = `\`${rule?.permission ?? ''}\``;
  if (rule === undefined) return 'no credential needed';
  if (rule.kind === 'authenticated') return 'any credential';
  if (rule.kind === 'owner_or_permission') return `the owner, or ${permission}`;
  return rule.alternative === undefined ? permission : `${permission} or \`${rule.alternative}\``;
}

/** @returns {string} */
function routes() {
  const document = JSON.parse(read('openapi.json'));
  const rows = Object.entries(document.paths).flatMap(([url, item]) =>
    Object.entries(item).map(([method, operation]) => {
      const { 'x-access-rule': rule, summary = '' } = /** @type {Operation} */ (operation);
      return [`\`${method.toUpperCase()} ${url.replace('/api/v1', '')}\``, callers(rule), summary];
    }),
  );
  return table(['route', 'who', 'does'], rows);
}

/** @type {Record<string, () => string>} */
const tables = {
  settings: () =>
    table(
      ['variable', 'default', 'meaning'],
      settings().map(([name, setting]) => [
        `\`${name}\``,
        typeof setting.default === 'number' ? `\`${setting.default}\`` : setting.default,
        meaningOf(setting),
      ]),
    ),
  jobs: () =>
    table(
      ['job', 'every', 'does', 'deletes'],
      byName(facts.jobs).map(({ name, everySeconds, purpose, isDestructive }) => [
        `\`${name}\``,
        interval(everySeconds),
        purpose,
        isDestructive ? 'yes' : '',
      ]),
    ),
  metrics: () =>
    table(
      ['metric', 'type', 'labels', 'meaning'],
      byName(facts.metrics).map(({ name, type, labels, help }) => [
        `\`${name}\``,
        type,
        labels.map((label) => `\`${label}\``).join(', '),
        help,
      ]),
    ),
  errors: () =>
    table(
      ['code', 'status', 'title'],
      Object.entries(facts.errors).map(([code, { status, title }]) => [
        `[\`${code}\`](${code}.md)`,
        String(status),
        title,
      ]),
    ),
  verdicts: () =>
    table(
      ['code', 'meaning', 'forward-auth', 'error code'],
      facts.verdicts.map(({ code, meaning, status, error }) => [
        `\`${code}\``,
        meaning,
        String(status),
        error === null ? '' : `[\`${error}\`](errors/${error}.md)`,
      ]),
    ),
  routes,
};

/** @param {string} text @returns {string} the text with its tables as the code says them */
function withTables(text) {
  /** @param {string} begin @param {string} name @param {string} end */
  const write = (begin, name, end) => {
    const render = tables[name];
    if (render === undefined) throw new Error(`There is no generated table named ${name}.`);
    return `${begin}\n${render()}\n\n${end}`;
  };
  return text.replaceAll(
    /(<!-- generated: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g,
    (_whole, /** @type {string} */ begin, /** @type {string} */ name, /** @type {string} */ end) =>
      write(begin, name, end),
  );
}

/** @param {string} text @param {number} width @returns {string[]} */
function wrap(text, width) {
  /** @type {string[]} */
  const lines = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length + 1 > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

/** @returns {string} */
function environmentExample() {
  const head = wrap(
    'Every setting of Latchkey, generated from src/config/settings.ts by `npm run docs`. Copy this file to .env and remove the # where a default does not suit you; unchanged it has no effect. An empty value counts as not set. A start with unusable values lists all problems at once.',
    108,
  ).map((line) => `# ${line}`);
  const groups = Object.entries(facts.settings).flatMap(([title, group]) => [
    ['', `# --- ${title} `.padEnd(110, '-')],
    ...Object.entries(group).map(([name, setting]) => {
      const { default: fallback, example = String(fallback) } = /** @type {Setting} */ (setting);
      const text = [...wrap(meaningOf(setting), 108), `Default: ${fallback}.`];
      return ['', ...text.map((line) => `# ${line.replaceAll('`', '')}`), `#${name}=${example}`];
    }),
  ]);
  return `${[...head, ...groups.flat()].join('\n')}\n`;
}

/** @returns {string[]} sentences about error pages whose head is not what the catalogue says */
function wrongErrorPages() {
  return Object.entries(facts.errors).flatMap(([code, { status, title }]) =>
    read(`docs/errors/${code}.md`).startsWith(`# ${code}\n\n**${status}** · ${title}\n`)
      ? []
      : [`docs/errors/${code}.md must begin with its code, then **${status}** · ${title}`],
  );
}

/** @returns {string[]} sentences about links that lead to no file */
function deadLinks() {
  return pages.flatMap((page) =>
    [...read(page).matchAll(/\]\(([^()\s#]+)(?:#[^()\s]*)?\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^(https?|mailto):/.test(target))
      .filter((target) => !existsSync(path.join(root, path.dirname(page), target)))
      .map((target) => `${page} has a link to ${target}, which is not there`),
  );
}

/** @returns {string[]} sentences about files that a page names and that are not there */
function missingFiles() {
  const places = ['', 'src', 'test', 'docs', 'scripts'];
  return pages.flatMap((page) =>
    [...read(page).matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|mjs|cjs|sql|json|md))`/g)]
      .map(([, name = '']) => name)
      .filter((name) => !/^(dist|DATA_DIR)\//.test(name))
      .filter((name) => !places.some((place) => existsSync(path.join(root, place, name))))
      .map((name) => `${page} names ${name}, which is not there`),
  );
}

const pages = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  ...readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const changed = [
  ...pages.map((name) => ({ name, text: withTables(read(name)) })),
  { name: '.env.example', text: environmentExample() },
].filter(({ name, text }) => read(name) !== text);

const isCheck = process.argv.includes('--check');
for (const { name, text } of changed) {
  if (isCheck) console.error(`${name} is not what the code says; to renew it: npm run docs`);
  else writeFileSync(path.join(root, name), text);
}
const wrong = [...wrongErrorPages(), ...missingFiles(), ...deadLinks()];
for (const sentence of wrong) console.error(sentence);
// Whatever the described application left open must not keep this waiting.
process.exit(wrong.length > 0 || (isCheck && changed.length > 0) ? 1 : 0);
