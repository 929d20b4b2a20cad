import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The absolute path of a file that ships with the project, found from the sources and from the build alike. */
export function projectPath(relativePath: string): string {
  return join(projectRoot(), relativePath);
}

/** The version in package.json. */
export function projectVersion(): string {
  const { version } = JSON.parse(readFileSync(projectPath('package.json'), 'utf8')) as { version: string };
  return version;
}

function projectRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error('The project folder, which holds package.json, was not found.');
    directory = parent;
  }
  return directory;
}
