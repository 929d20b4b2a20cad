// @ts-check
// Released migrations never change: their SHA-256 stand in src/database/migrations/frozen.sha256, as `sha256sum` writes
// them. Without an argument this fails when one of them has changed or gone; with --freeze it adds those that are new.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '..', 'src', 'database', 'migrations');
const list = join(folder, 'frozen.sha256');

/** @param {string} name */
const hashOf = (name) =>
  createHash('sha256')
    .update(readFileSync(join(folder, name)))
    .digest('hex');
/** @type {Map<string, string>} */
const frozen = new Map();
for (const line of readFileSync(list, 'utf8').split('\n')) {
  const [hash, name] = line.split('  ');
  if (hash !== undefined && name !== undefined) frozen.set(name, hash);
}
const migrations = readdirSync(folder)
  .filter((name) => /^\d+-.*\.(ts|sql)$/.test(name))
  .toSorted();

const problems = [...frozen].flatMap(([name, hash]) => {
  if (!migrations.includes(name)) return [`${name} was released and is gone.`];
  return hashOf(name) === hash
    ? []
    : [`${name} was released and has changed; write a new migration instead.`];
});
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}
const added = migrations.filter((name) => !frozen.has(name));
if (process.argv.includes('--freeze')) {
  for (const name of added) frozen.set(name, hashOf(name));
  writeFileSync(list, [...frozen].map(([name, hash]) => `${hash}  ${name}\n`).join(''));
}
console.log(`${frozen.size} released migrations are as they were; ${added.length} are new.`);
