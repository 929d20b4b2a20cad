import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { SETTING_GROUPS } from '../../src/config/settings.js';

/** The image sets these, and `JWT_SECRET` becomes the list `JWT_SECRETS`. */
const OF_THE_IMAGE = ['DATA_DIR', 'HOST', 'JWT_SECRET', 'NODE_ENV', 'PORT'];

describe('compose.yaml', () => {
  const text = readFileSync(projectPath('compose.yaml'), 'utf8');

  it('passes every setting to the service, but for those of the image', () => {
    const names = Object.values(SETTING_GROUPS).flatMap((group) => Object.keys(group));
    expect(names.length).toBeGreaterThan(25);
    const missing = names.filter((name) => !new RegExp(`^      ${name}: `, 'm').test(text));
    expect(missing.toSorted()).toEqual(OF_THE_IMAGE);
  });

  it('gives a stop longer than draining and the requests in progress take', () => {
    const seconds = (pattern: RegExp) => Number(pattern.exec(text)?.[1]);
    const grace = seconds(/stop_grace_period: (\d+)s/);
    expect(grace).toBeGreaterThan(5 + seconds(/SHUTDOWN_TIMEOUT_SECONDS: (\d+)/));
  });
});
