// Who may import whom: the table of ARCHITECTURE.md. Modules of one level never import each other.

const levels = [
  ['common'],
  ['config', 'embedded-postgres'],
  ['context', 'database'],
  ['contract', 'jobs'],
  ['http', 'change-feed'],
  ['data-plane', 'observability'],
  ['events'],
  ['auth', 'budgets', 'rate-limits'],
  ['users'],
  ['sessions'],
  ['organizations'],
  ['api-keys', 'audit'],
  ['usage'],
  ['holds'],
  ['verification'],
  ['reference'],
];
/** Modules that are libraries: they may import these alone. */
const only = { 'embedded-postgres': ['common'], context: ['common'] };
const deniedBelow = { usage: ['audit'], holds: ['audit'], verification: ['audit'] };

const modules = levels.flat();
const anyModule = `^src/(${modules.join('|')})/`;
const topFiles =
  '^src/(cli/main|app\\.module|app\\.factory|main|start-failures|stop|welcome|openapi|doc-facts|described-app)\\.ts$';
const entryPoints = '^(src/(main|openapi|doc-facts|cli/main)|ormconfig)\\.ts$';
const pureFiles = '^src/.+(\\.policy|/verdict|/money|/secret-format)\\.ts$';

const moduleRules = levels.flatMap((level, index) =>
  level.map((name) => {
    const below = only[name] ?? levels.slice(0, index).flat();
    const allowed = [name, ...below].filter((other) => !(deniedBelow[name] ?? []).includes(other));
    return {
      name: `${name}-imports-only-below`,
      comment: `src/${name} may import ${allowed.slice(1).join(', ') || 'no other module'}.`,
      severity: 'error',
      from: { path: `^src/${name}/` },
      to: { path: '^src/', pathNot: `^src/(${allowed.join('|')})/` },
    };
  }),
);

module.exports = {
  forbidden: [
    ...moduleRules,
    {
      name: 'no-unknown-importer',
      comment: 'A new folder or top-level file under src needs a place in the table first.',
      severity: 'error',
      from: { path: '^src/', pathNot: [anyModule, topFiles] },
      to: {},
    },
    {
      name: 'no-unknown-module',
      comment: 'A new folder or top-level file under src needs a place in the table first.',
      severity: 'error',
      from: {},
      to: { path: '^src/', pathNot: [anyModule, topFiles] },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphans',
      comment: 'Nothing imports this file and it imports nothing.',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: entryPoints },
      to: {},
    },
    {
      name: 'no-unreachable',
      comment: 'No entry point leads to this file: only tests, if anything, use it.',
      severity: 'error',
      from: { path: entryPoints },
      to: { path: '^src/', pathNot: entryPoints, reachable: false },
    },
    {
      name: 'pure-files-stay-pure',
      comment: 'A rule is a pure function: it knows neither Nest nor TypeORM.',
      severity: 'error',
      from: { path: pureFiles },
      to: { path: 'node_modules/(@nestjs/|@nestjs-cls/|nestjs-cls/|typeorm/)' },
    },
    {
      name: 'no-barrels',
      comment: 'Whoever needs a thing imports it from where it is defined.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/', dependencyTypes: ['export'] },
    },
    {
      name: 'src-knows-no-tests',
      severity: 'error',
      from: { path: '^(src/|ormconfig\\.ts)' },
      to: { path: '^(test|bench|scripts)/' },
    },
    {
      name: 'src-uses-no-dev-dependency',
      comment: 'npm ci --omit=dev must be enough to run it.',
      severity: 'error',
      from: { path: '^(src/|ormconfig\\.ts)' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      mainFields: ['module', 'main', 'types'],
    },
  },
};
