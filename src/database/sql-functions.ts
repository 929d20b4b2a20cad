import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DataSource } from 'typeorm';

/**
 * One function of the database: the file `src/<module>/sql/<name>.sql`, which creates or replaces it. When the parameters
 * of a function change, instances of the version before still call it as it was: for one version it stays in
 * `<name>.previous.sql`.
 */
export interface SqlFunction {
  readonly name: string;
  readonly text: string;
  /** SHA-256 of the text in hex, by which the database knows what it has. */
  readonly hash: string;
}

/** The folder of the modules, in the sources and in the build alike. */
const MODULES = dirname(dirname(fileURLToPath(import.meta.url)));

/** Every SQL function that the modules bring, by name. @throws Error when two files have the same name */
export function sqlFunctions(): SqlFunction[] {
  const files = readdirSync(MODULES)
    .map((module) => join(MODULES, module, 'sql'))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
    .filter((file) => file.endsWith('.sql'));
  const functions = files.map(readFunction).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const twice = functions.find(({ name }, index) => functions[index + 1]?.name === name);
  if (twice !== undefined) throw new Error(`Two files define the SQL function ${twice.name}.`);
  return functions;
}

/**
 * What creates or replaces one function, for a migration that needs it: a trigger runs it, or a default calls it.
 * @throws Error when there is no such file
 */
export function sqlFunctionText(name: string): string {
  const found = sqlFunctions().find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`There is no file for the SQL function ${name}.`);
  return found.text;
}

/**
 * Creates or replaces each function whose text differs from what the database had last, in one transaction. Call it
 * after the migrations, under their lock. Bodies are checked when they first run: functions may name each other.
 *
 * @returns the names of the functions that were created or replaced
 */
export async function applySqlFunctions(owner: DataSource): Promise<string[]> {
  return owner.transaction(async (manager) => {
    const known = await manager.query<{ name: string; hash: string }[]>(
      'SELECT name, hash FROM schema_functions',
    );
    const hashes = new Map(known.map(({ name, hash }) => [name, hash]));
    const changed = sqlFunctions().filter(({ name, hash }) => hashes.get(name) !== hash);
    await manager.query('SET LOCAL check_function_bodies = off');
    for (const { name, text, hash } of changed) {
      await manager.query(text);
      await manager.query(
        `INSERT INTO schema_functions (name, hash) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET hash = excluded.hash`,
        [name, hash],
      );
    }
    return changed.map(({ name }) => name);
  });
}

function readFunction(file: string): SqlFunction {
  const text = readFileSync(file, 'utf8');
  const name = file.slice(dirname(file).length + 1, -'.sql'.length);
  return { name, text, hash: createHash('sha256').update(text).digest('hex') };
}
