// @ts-check
/**
 * Generates clients from `openapi.json` with the generators that people use, compiles each, and runs its flow of
 * `test/generated-clients/` against a service of its own. What a machine has no tools for is skipped with a message.
 * Usage: npm run clients:check [-- <name> …]
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const FLOWS = join(ROOT, 'test/generated-clients');
const DOCUMENT = join(ROOT, 'openapi.json');
const VERSIONS = {
  oapiCodegen: 'v2.8.2',
  ogen: 'v1.24.0',
  openapiGenerator: '7.17.0',
  heyApi: '0.99.0',
  typescript: '5.9.3',
  tsx: '4.21.0',
};
const CARGO_TOML = `[package]
name = "flow"
version = "0.1.0"
edition = "2021"

[dependencies]
openapi = { path = "client", default-features = false }
tokio = { version = "1", features = ["rt", "macros"] }
`;
const STEP_MS = 300_000;
const PASSWORD = 'the password of generated clients';

const work = mkdtempSync(join(tmpdir(), 'latchkey-clients-'));

/**
 * Runs a command to its end.
 * @param {string} folder
 * @param {readonly string[]} command
 * @param {Record<string, string>} [environment]
 */
function run(folder, [name = '', ...parameters], environment = {}) {
  const env = { ...process.env, ...environment };
  const { status, stdout, stderr, error } = spawnSync(name, parameters, {
    cwd: folder,
    env,
    timeout: STEP_MS,
    encoding: 'utf8',
  });
  if (status === 0) return stdout;
  throw new Error(
    `${[name, ...parameters].join(' ')}\n${(stdout + stderr).slice(-3_000)}${error?.message ?? ''}`,
  );
}

/** @param {string} name @param {readonly string[]} parameters */
function has(name, ...parameters) {
  return spawnSync(name, parameters, { stdio: 'ignore' }).status === 0;
}

/** The jar of openapi-generator, by its Maven coordinates. */
function openapiGenerator() {
  const artifact = `org.openapitools:openapi-generator-cli:${VERSIONS.openapiGenerator}`;
  run(work, ['mvn', '-q', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${work}`]);
  return join(work, `openapi-generator-cli-${VERSIONS.openapiGenerator}.jar`);
}

/** @param {string} folder @param {string} generator @param {string} into @param {string} properties */
function generate(folder, generator, into, properties) {
  const from = ['java', '-jar', openapiGenerator(), 'generate', '-i', DOCUMENT];
  run(folder, [...from, '-g', generator, '-o', into, `--additional-properties=${properties}`]);
}

/** @param {string} folder @param {string} name @param {string} version */
function installGo(folder, name, version) {
  run(folder, ['go', 'install', `${name}@${version}`], { GOBIN: join(work, 'bin') });
}

/** @param {string} folder @param {Record<string, string>} dependencies */
function installNpm(folder, dependencies) {
  writeFileSync(
    join(folder, 'package.json'),
    JSON.stringify({ private: true, type: 'module', dependencies }),
  );
  run(folder, ['npm', 'install', '--no-audit', '--no-fund']);
}

/** Compiles strictly, as a user of the client would. @param {string} folder @param {string} flow */
function compileTypeScript(folder, flow) {
  const options = [
    '--strict',
    '--noEmit',
    '--skipLibCheck',
    '--target',
    'es2022',
    '--module',
    'esnext',
    '--moduleResolution',
    'bundler',
  ];
  const lib = ['--lib', 'es2022,dom,dom.iterable', '--types', 'node'];
  run(folder, ['npx', 'tsc', ...options, ...lib, flow]);
}

/**
 * How each client is made and compiled, with its flow; what is returned runs that.
 * @type {Record<string, { needs: () => boolean, make: (folder: string) => readonly string[] }>}
 */
const CLIENTS = {
  'oapi-codegen': {
    needs: () => has('go', 'version'),
    make(folder) {
      installGo(folder, 'github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen', VERSIONS.oapiCodegen);
      mkdirSync(join(folder, 'api'));
      const tool = join(work, 'bin/oapi-codegen');
      run(folder, [tool, '-generate', 'types,client', '-package', 'api', '-o', 'api/client.go', DOCUMENT]);
      copyFileSync(join(FLOWS, 'flow-oapi-codegen.go'), join(folder, 'main.go'));
      writeFileSync(join(folder, 'go.mod'), 'module latchkey.example/client\n\ngo 1.24\n');
      run(folder, ['go', 'mod', 'tidy']);
      run(folder, ['go', 'build', '-o', 'flow', '.']);
      return ['./flow'];
    },
  },
  ogen: {
    needs: () => has('go', 'version'),
    make(folder) {
      installGo(folder, 'github.com/ogen-go/ogen/cmd/ogen', VERSIONS.ogen);
      writeFileSync(join(folder, 'go.mod'), 'module latchkey.example/client\n\ngo 1.24\n');
      run(folder, [join(work, 'bin/ogen'), '--target', 'api', '--package', 'api', '--clean', DOCUMENT]);
      copyFileSync(join(FLOWS, 'flow-ogen.go'), join(folder, 'main.go'));
      run(folder, ['go', 'mod', 'tidy']);
      run(folder, ['go', 'build', '-o', 'flow', '.']);
      return ['./flow'];
    },
  },
  'typescript-fetch': {
    needs: () => has('java', '-version') && has('mvn', '-v'),
    make(folder) {
      generate(folder, 'typescript-fetch', 'client', 'npmName=latchkey-client,importFileExtension=.js');
      // It says nothing of modules, so that its files would count as CommonJS.
      rmSync(join(folder, 'client/package.json'));
      copyFileSync(join(FLOWS, 'flow-fetch.ts'), join(folder, 'flow.ts'));
      installNpm(folder, { typescript: VERSIONS.typescript, tsx: VERSIONS.tsx, '@types/node': '22.19.1' });
      compileTypeScript(folder, 'flow.ts');
      return ['npx', 'tsx', 'flow.ts'];
    },
  },
  'hey-api': {
    needs: () => true,
    make(folder) {
      const { typescript, tsx, heyApi } = VERSIONS;
      installNpm(folder, { typescript, tsx, '@hey-api/openapi-ts': heyApi, '@types/node': '22.19.1' });
      run(folder, ['npx', 'openapi-ts', '-i', DOCUMENT, '-o', 'client']);
      copyFileSync(join(FLOWS, 'flow-hey-api.ts'), join(folder, 'flow.ts'));
      compileTypeScript(folder, 'flow.ts');
      return ['npx', 'tsx', 'flow.ts'];
    },
  },
  python: {
    needs: () => has('python3', '-m', 'venv', '-h') && has('java', '-version') && has('mvn', '-v'),
    make(folder) {
      generate(folder, 'python', 'client', 'packageName=latchkey_client');
      run(folder, ['python3', '-m', 'venv', 'venv']);
      run(folder, ['venv/bin/pip', 'install', '-q', './client']);
      return ['venv/bin/python', join(FLOWS, 'flow.py')];
    },
  },
  java: {
    needs: () => has('java', '-version') && has('mvn', '-v'),
    make(folder) {
      generate(folder, 'java', 'client', 'library=native,hideGenerationTimestamp=true');
      const goals = ['compile', 'dependency:copy-dependencies', '-DincludeScope=runtime'];
      run(join(folder, 'client'), ['mvn', '-q', '-DskipTests', ...goals]);
      const classes = `client/target/classes:client/target/dependency/*`;
      return ['java', '-cp', classes, join(FLOWS, 'Flow.java')];
    },
  },
  rust: {
    needs: () => has('cargo', '--version') && has('java', '-version') && has('mvn', '-v'),
    make(folder) {
      generate(folder, 'rust', 'client', 'library=reqwest');
      // A loopback address needs no TLS, which would take longest to compile.
      writeFileSync(join(folder, 'Cargo.toml'), CARGO_TOML);
      mkdirSync(join(folder, 'src'));
      copyFileSync(join(FLOWS, 'flow.rs'), join(folder, 'src/main.rs'));
      run(folder, ['cargo', 'build', '-q']);
      return ['target/debug/flow'];
    },
  },
};

/** A service on an embedded PostgreSQL, on a free port of this machine. */
async function startService() {
  const data = join(work, 'data');
  mkdirSync(data);
  const env = {
    PATH: process.env['PATH'],
    DATA_DIR: data,
    PORT: '0',
    ADMIN_PASSWORD: PASSWORD,
    LOG_FORMAT: 'json',
  };
  const child = spawn(process.execPath, ['dist/src/main.js'], { cwd: ROOT, env });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const exited = once(child, 'exit');
  for (let waited = 0; waited < 600; waited += 1) {
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(output)?.[0];
    if (url !== undefined && output.includes('"msg":"ready"')) {
      return { url, stop: () => (child.kill('SIGTERM'), exited) };
    }
    await sleep(100);
  }
  child.kill('SIGKILL');
  throw new Error(`The service did not start.\n${output}`);
}

/**
 * Makes a client and runs its flow. Once more from the beginning when that fails: registries do not always answer.
 * @param {string} name
 * @param {(folder: string) => readonly string[]} make
 * @param {string} url
 */
function check(name, make, url, attempt = 1) {
  const folder = join(work, `${name}-${attempt}`);
  mkdirSync(folder);
  try {
    run(folder, make(folder), { LATCHKEY_URL: url, LATCHKEY_PASSWORD: PASSWORD });
  } catch (error) {
    if (attempt === 2) throw error;
    console.log(`${name}: failed, and is tried once more.`);
    check(name, make, url, attempt + 1);
  }
}

const wanted = process.argv.slice(2);
const failures = [];
run(ROOT, [process.execPath, 'scripts/build.mjs', '--if-stale', '--guide-later']);
const service = await startService();
try {
  for (const [name, { needs, make }] of Object.entries(CLIENTS)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    if (!needs()) {
      console.log(`${name}: skipped, its tools are not installed.`);
      continue;
    }
    const startedAt = performance.now();
    try {
      check(name, make, service.url);
      const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
      console.log(`${name}: compiles and runs its flow (${seconds} s)`);
    } catch (error) {
      failures.push(name);
      console.error(`${name} FAILED\n${error instanceof Error ? error.message : String(error)}`);
    }
  }
} finally {
  await service.stop();
  rmSync(work, { recursive: true, force: true });
}
if (failures.length > 0) process.exitCode = 1;
console.log(failures.length === 0 ? 'All generated clients work.' : `Failed: ${failures.join(', ')}`);
