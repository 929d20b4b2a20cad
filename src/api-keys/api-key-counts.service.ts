import { Injectable } from '@nestjs/common';
import { Maintenance } from '../jobs/maintenance.service.js';

/** Folds the noted changes of how many keys there are into the counts that lists read. */
@Injectable()
export class ApiKeyCounts {
  constructor(maintenance: Maintenance) {
    maintenance.register({
      name: 'fold-api-key-counts',
      purpose: 'adds noted changes to the counts of keys that lists read',
      everySeconds: 30,
      isDestructive: false,
      run: async (client) => {
        await client.query('SELECT fold_api_key_counts()');
      },
    });
  }
}
