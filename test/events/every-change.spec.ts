import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsersService } from '../../src/users/users.service.js';
import { isChange } from '../../src/events/change.decorator.js';
import { EventPublisher } from '../../src/events/event-publisher.service.js';
import { TestApp } from '../support/test-app.js';

/** A member of a class: what it is called, how it is decorated, what of its own class it calls. */
interface Member {
  readonly name: string;
  readonly decorators: readonly string[];
  readonly publishesChange: boolean;
  readonly calls: ReadonlySet<string>;
}

const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({
    path,
    tree: ts.createSourceFile(path, readFileSync(join('src', path), 'utf8'), ts.ScriptTarget.Latest, true),
  }));

const classes = sources.flatMap(({ path, tree }) =>
  tree.statements.filter(ts.isClassDeclaration).map((declaration) => ({
    name: `${path}: ${declaration.name?.text ?? ''}`,
    members: declaration.members.map(toMember),
  })),
);

function toMember(member: ts.ClassElement): Member {
  const calls = new Set<string>();
  let publishesChange = false;
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression)) {
      const { expression: target, name } = node.expression;
      if (target.kind === ts.SyntaxKind.ThisKeyword) calls.add(name.text);
      if (name.text === 'change' && /events$/i.test(target.getText())) publishesChange = true;
    }
    ts.forEachChild(node, visit);
  };
  visit(member);
  const decorators = ts.canHaveDecorators(member) ? (ts.getDecorators(member) ?? []) : [];
  return {
    name: member.name?.getText() ?? 'constructor',
    decorators: decorators.map(({ expression }) =>
      (ts.isCallExpression(expression) ? expression.expression : expression).getText(),
    ),
    publishesChange,
    calls,
  };
}

/** Marked itself, or only the class itself can call it and does so from what is marked. */
function belongsToChange(member: Member, members: readonly Member[]): boolean {
  if (member.decorators.includes('Change')) return true;
  const callers = members.filter(({ calls }) => calls.has(member.name));
  return (
    member.name.startsWith('#') &&
    callers.length > 0 &&
    callers.every((caller) => belongsToChange(caller, members))
  );
}

/** What begins a transaction, and where that is no change: who may see what, the schema, leadership of jobs. */
const TRANSACTION = /\bwithTransaction\(|\.transaction\(|startTransaction|createQueryRunner|['"`]BEGIN\b/;
const OTHER_TRANSACTIONS = [
  'api-keys/api-key-lineage.service.ts',
  'database/grants.ts',
  'jobs/maintenance.service.ts',
  'database/pooling-mode.ts',
  'database/sql-functions.ts',
  'events/changes.service.ts',
];

/** What writes: statements, and functions of the database that hold some or call such a function. */
const WRITING_STATEMENT =
  /\b(INSERT\s+INTO|UPDATE\s+(ONLY\s+)?\w+\s+(AS\s+\w+\s+)?SET|DELETE\s+FROM|TRUNCATE)\b/i;
const FUNCTIONS = new Map(
  readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.sql') && !path.endsWith('.previous.sql'))
    .map((path) => [basename(path, '.sql'), readFileSync(join('src', path), 'utf8')]),
);
const WRITE = writePattern([]);

/** What writes, when these functions do. */
function writePattern(names: readonly string[]): RegExp {
  const pattern = new RegExp(
    [WRITING_STATEMENT.source, ...names.map((name) => `\\b${name}\\(`)].join('|'),
    'i',
  );
  const bodyOf = (text: string) => text.slice(text.indexOf('AS $'));
  const writing = [...FUNCTIONS].filter(([, text]) => pattern.test(bodyOf(text))).map(([name]) => name);
  return writing.length === names.length ? pattern : writePattern(writing);
}

/** Writes on a connection of a pool, so in no change: the data plane's, of the service itself, and of traces. */
const WRITES_BESIDE_CHANGES = [
  'api-keys/last-use.service.ts',
  'api-keys/search-texts.service.ts',
  'api-keys/stored-key-checks.service.ts',
  'audit/audit-log-writer.service.ts',
  'audit/audit-partitions.service.ts',
  'users/login-throttle.service.ts',
  'holds/budget-ledger.queries.ts',
  'holds/hold-grants.queries.ts',
  'holds/hold-sweeper.service.ts',
  'jobs/clock-guard.service.ts',
  'database/grants.ts',
  'database/sql-functions.ts',
  'rate-limits/instance-registry.service.ts',
  'rate-limits/window-checkpoints.service.ts',
  'usage/usage-recorder.service.ts',
];

/** Those in which all of the patterns are found; migrations run alone. */
function sourcesWith(...patterns: readonly RegExp[]): string[] {
  return sources
    .filter(({ path }) => !path.startsWith('database/migrations/'))
    .filter(({ tree }) => patterns.every((pattern) => pattern.test(tree.text)))
    .map(({ path }) => path)
    .toSorted();
}

describe('every change is made by the one mechanism for changes', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('each method that publishes a change is marked with @Change()', () => {
    const publishing = classes.flatMap(({ name, members }) =>
      members.filter(({ publishesChange }) => publishesChange).map((member) => ({ name, member, members })),
    );
    expect(publishing.length).toBeGreaterThan(15);
    const unmarked = publishing.filter(({ member, members }) => !belongsToChange(member, members));
    expect(unmarked.map(({ name, member }) => `${name}.${member.name}`)).toEqual([]);
  });

  it('no method opens a transaction of its own beside it', () => {
    expect(sourcesWith(/@Transactional\((?!Propagation\.Mandatory\))/)).toEqual([]);
    expect(sourcesWith(TRANSACTION)).toEqual(OTHER_TRANSACTIONS.toSorted());
  });

  it('nothing but what is listed writes on a connection of a pool', () => {
    for (const name of ['record_usage', 'reverse_usage', 'extend_holds', 'release_holds'])
      expect([name, WRITE.test(`SELECT ${name}($1)`)]).toEqual([name, true]);
    expect(sourcesWith(/Pool\b|DataSource\b/, WRITE)).toEqual(WRITES_BESIDE_CHANGES.toSorted());
  });

  it('the mark stays with the method that runs', () => {
    expect(isChange(UsersService.prototype.update)).toBe(true);
    expect(isChange(UsersService.prototype.get)).toBe(false);
  });

  it('a change that is published outside of it is refused', async () => {
    const publish = app.app.get(EventPublisher).change('api_key.activated', { apiKeyId: 1, name: 'x' });
    await expect(publish).rejects.toThrow('@Change()');
  });
});
