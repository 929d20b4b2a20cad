import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { ConfigurationError } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load-config.js';

/** The variables that `loadConfig` asks for, in the order it does. */
function variablesRead(): string[] {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-config-'));
  const names = new Set<string>();
  const environment = new Proxy<Record<string, string | undefined>>(
    { DATA_DIR: dataDir },
    {
      get: (target, name) => {
        names.add(String(name));
        return target[String(name)];
      },
    },
  );
  loadConfig(environment);
  rmSync(dataDir, { recursive: true, force: true });
  return [...names];
}

/** The settings of the example, commented out or not: `NAME=value`. */
function settingsOfTheExample(): Map<string, string> {
  const lines = readFileSync(projectPath('.env.example'), 'utf8').split('\n');
  const settings = lines
    .map((line) => /^#?([A-Z][A-Z0-9_]*)=(.*)$/.exec(line))
    .filter((match) => match !== null);
  return new Map(settings.map(([, name, value]) => [name!, value!]));
}

describe('.env.example', () => {
  it('has every variable that is read, and no other', () => {
    expect([...settingsOfTheExample().keys()].toSorted()).toEqual(variablesRead().toSorted());
  });

  it('explains each of them in the lines above it, with its default where there is one', () => {
    const paragraphs = readFileSync(projectPath('.env.example'), 'utf8').split(/\n\n+/);
    for (const name of settingsOfTheExample().keys()) {
      const paragraph = paragraphs.find((text) => new RegExp(`^#?${name}=`, 'm').test(text)) ?? '';
      expect([name, /^# .*\w+/m.test(paragraph), /Default|Required/.test(paragraph)]).toEqual([
        name,
        true,
        true,
      ]);
    }
  });

  it('changes nothing as it stands', () => {
    const active = readFileSync(projectPath('.env.example'), 'utf8')
      .split('\n')
      .filter((line) => /^[A-Z]/.test(line));
    expect(active).toEqual([]);
  });

  it.each(['JWT_SECRETS', 'JWT_SECRET', 'API_KEY_PEPPERS'])(
    'offers nothing for %s that would be accepted',
    (name) => {
      const value = settingsOfTheExample().get(name)!;
      const others = {
        JWT_SECRET: 'V3ry-str0ng-and-r4ndom-for-these-tests',
        API_KEY_PEPPERS: '1:V3ry-str0ng-and-r4ndom-x',
      };
      const load = () => loadConfig({ ...others, NODE_ENV: 'production', [name]: value });
      expect(load).toThrow(ConfigurationError);
    },
  );

  it('gives values that the service accepts for everything that is no secret', () => {
    const secrets = ['JWT_SECRETS', 'JWT_SECRET', 'API_KEY_PEPPERS'];
    const settings = [...settingsOfTheExample()].filter(([name]) => !secrets.includes(name));
    const strong = 'V3ry-str0ng-and-r4ndom-for-these-tests';
    const environment = {
      ...Object.fromEntries(settings),
      JWT_SECRET: strong,
      API_KEY_PEPPERS: `1:${strong}`,
    };
    expect(() => loadConfig(environment)).not.toThrow();
  });
});
