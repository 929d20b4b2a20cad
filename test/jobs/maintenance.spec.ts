import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { TestApp } from '../support/test-app.js';

describe('a maintenance job', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
    await app.database.query('CREATE TABLE work_of_jobs (part integer)');
  });
  afterAll(() => app.stop());

  it('that does its work in parts keeps those that it did when a later one fails', async () => {
    const maintenance = app.app.get(Maintenance);
    let part = 0;
    maintenance.register({
      name: 'in-parts',
      purpose: 'fails in the middle of its work',
      everySeconds: 3_600,
      isDestructive: false,
      run: async (client) => {
        part += 1;
        await client.query('INSERT INTO work_of_jobs VALUES ($1)', [part]);
        if (part === 3) throw new Error('The third part fails.');
        return part < 5 ? 'more' : undefined;
      },
    });
    await expect(maintenance.runNow('in-parts')).rejects.toThrow('The third part fails.');
    const parts = () => app.database.query('SELECT part FROM work_of_jobs ORDER BY part');
    expect(await parts()).toEqual([{ part: 1 }, { part: 2 }]);
    await maintenance.runNow('in-parts');
    expect(await parts()).toEqual([1, 2, 4, 5].map((done) => ({ part: done })));
  });
});
