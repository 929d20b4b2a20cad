import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ApiKeyFilter, matchesStatement } from '../../src/api-keys/api-key-list.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const MOST_COUNTED = 10_000;

/** NFKC and full case folding, as far as JavaScript has it: but for these, lower case of upper case is the same. */
function folded(text: string): string {
  const [normalized, dotless] = [text.normalize('NFKC'), '\ue000'];
  return normalized
    .replaceAll('ı', dotless)
    .toLowerCase()
    .toUpperCase()
    .toLowerCase()
    .replaceAll('ς', 'σ')
    .replaceAll(dotless, 'ı')
    .normalize('NFKC');
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Index Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

describe('the matches of GET /api-keys', () => {
  let app: TestApp;
  let owner: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.user({ role: 'developer' });
  });
  afterAll(() => app.stop());

  const list = async (query: Record<string, string | number>) => {
    const parameters = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    const { status, body } = await app.admin.get(`/api-keys?${parameters.join('&')}`);
    expect(status).toBe(200);
    return body;
  };
  const namesOf = async (query: Record<string, string | number>) =>
    (await list(query))['api_keys'].map(({ name }: { name: string }) => name);

  /** Keys named `<word> 1`, `<word> 2` and so on, each with the word as its tag. */
  const addMany = (word: string, count: number) =>
    app.database.query(
      `INSERT INTO api_keys (user_id, name, key_prefix, tags)
       SELECT $1, $2 || ' ' || n, 'en_xxxxx', ARRAY[$2] FROM generate_series(1, $3) AS n`,
      [owner.id, word, count],
    );

  it.each(['search', 'tag'])(
    'of a %s are counted one by one up to 10 000; beyond it the answer says that there are more',
    async (filter) => {
      const word = `counted-by-${filter}`;
      await addMany(word, MOST_COUNTED);
      const counted = { total: MOST_COUNTED, total_is_exact: true };
      expect(await list({ [filter]: word })).toMatchObject(counted);

      await app.apiKey(owner.client, { name: `${word} newest`, tags: [word] });
      expect(await list({ [filter]: word })).toMatchObject({ ...counted, total_is_exact: false });
      expect(await namesOf({ [filter]: word, size: 2 })).toEqual([`${word} newest`, `${word} 10000`]);
      expect(await namesOf({ [filter]: word, page: 1_000 })).toEqual(
        Array.from({ length: 10 }, (_item, index) => `${word} ${11 - index}`),
      );
      const last = await list({ [filter]: word, page: 1_001 });
      expect(last).toMatchObject({ ...counted, total_is_exact: false, api_keys: [{ name: `${word} 1` }] });
      const beyond = { api_keys: [], ...counted, total_is_exact: false };
      expect(await list({ [filter]: word, page: 1_002 })).toMatchObject(beyond);
      expect(await list({ [filter]: word, page: 1_000_000_000, size: 100 })).toMatchObject(beyond);
    },
  );

  it('are those of an unnarrowed list when the search is empty, and their total is exact', async () => {
    const [all] = await app.database.query<{ count: number }>('SELECT count(*)::int FROM api_keys');
    expect(all?.count).toBeGreaterThan(MOST_COUNTED);
    expect(await list({ search: '' })).toMatchObject({ total: all?.count, total_is_exact: true });
  });

  it('are the ones that hold the search in name or description, both normalized and folded', async () => {
    const alphabet = fc.constantFrom(...Array.from(`abAB %_\\éÉ\u0301eßẞsİıiσςΣ％日ﬁ🔑\n\u001f'`));
    const textOf = (maxLength: number) =>
      fc.array(alphabet, { minLength: 1, maxLength }).map((characters) => characters.join(''));
    const keys = fc.sample(fc.record({ name: textOf(8), description: fc.option(textOf(12)) }), 200);
    await app.database.query(
      `INSERT INTO api_keys (user_id, name, description, key_prefix, tags)
       SELECT $1, name, description, 'en_xxxxx', '{random}' FROM json_to_recordset($2) AS row (name text, description text)`,
      [owner.id, JSON.stringify(keys)],
    );
    const stored = await app.database.query<{ id: number; name: string; description: string | null }>(
      `SELECT id::int, name, description FROM api_keys WHERE tags = '{random}' ORDER BY id DESC`,
    );
    for (const search of fc.sample(textOf(4), 60)) {
      const compared = stored.filter(({ name, description }) =>
        [name, description ?? ''].some((text) => folded(text).includes(folded(search))),
      );
      const found = await list({ search, tag: 'random', size: 100 });
      const ids = found['api_keys'].map(({ id }: { id: number }) => id);
      expect({ search, total: found['total'], ids }).toEqual({
        search,
        total: compared.length,
        ids: compared.slice(0, 100).map(({ id }) => id),
      });
    }
  });

  it('follow every change of a key, also one made by SQL', async () => {
    const { id } = await app.apiKey(owner.client, { name: 'Wombat', description: 'digs' });
    const path = `/api-keys/${id}`;
    const sql = (text: string) => () => app.database.query(text.replace('$ID', String(id)));
    const isFoundBy = async (...words: string[]) => {
      const found = await Promise.all(
        ['wombat', 'digs', 'numbat', 'eats'].map(async (search) =>
          (await list({ search }))['total'] === 1 ? [search] : [],
        ),
      );
      expect(found.flat()).toEqual(words);
    };
    const steps: [change: () => Promise<unknown>, words: string[]][] = [
      [() => app.admin.post(`${path}/deactivate`), ['wombat', 'digs']],
      [() => app.admin.put(path, { name: 'Numbat' }), ['digs', 'numbat']],
      [() => app.admin.put(path, { description: 'Eats' }), ['numbat', 'eats']],
      [() => app.admin.put(path, { description: null }), ['numbat']],
      [() => app.admin.delete(path), []],
      [sql(`UPDATE api_keys SET deleted_at = NULL, description = 'DIGS' WHERE id = $ID`), ['digs', 'numbat']],
      [sql(`UPDATE api_keys SET name = 'Wombat' WHERE id = $ID`), ['wombat', 'digs']],
      [sql(`DELETE FROM api_key_secrets WHERE api_key_id = $ID`), ['wombat', 'digs']],
      [sql(`DELETE FROM api_keys WHERE id = $ID`), []],
    ];
    await isFoundBy('wombat', 'digs');
    for (const [change, words] of steps) {
      await change();
      await isFoundBy(...words);
    }
    const texts = await app.database.query(
      'SELECT FROM api_keys FULL JOIN api_key_search_texts ON api_key_id = id WHERE (id IS NULL OR api_key_id IS NULL) AND deleted_at IS NULL',
    );
    expect(texts).toEqual([]);
  });

  describe('over many keys', () => {
    const KEYS = 60_000;
    beforeAll(async () => {
      await app.database.query('DROP INDEX api_key_search_texts_idx');
      await app.database.query(
        `INSERT INTO api_keys (user_id, name, description, key_prefix, tags)
         SELECT $1, 'Worker ' || md5(n::text), 'calls models for team ' || n % 1000, 'en_xxxxx',
           CASE WHEN n % 2000 = 0 THEN '{rare}'::text[] WHEN n % 2 = 0 THEN '{common}' ELSE '{}' END
         FROM generate_series(1, ${KEYS}) AS n`,
        [owner.id],
      );
      await app.database.query(
        'CREATE INDEX api_key_search_texts_idx ON api_key_search_texts USING gin (text gin_trgm_ops)',
      );
      await app.database.query('VACUUM ANALYZE api_keys, api_key_search_texts');
    }, 60_000);

    /** The indexes that the statement of a first page goes through, and how many texts or keys it looks at. */
    const planOf = async (filter: ApiKeyFilter) => {
      const { text, values } = matchesStatement(filter, 10, 0);
      const [plan] = await app.database.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
        `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
        values,
      );
      const nodes: PlanNode[] = [];
      const collect = (node: PlanNode) => {
        nodes.push(node);
        for (const child of node.Plans ?? []) collect(child);
      };
      collect(plan!['QUERY PLAN'][0].Plan);
      const looks = nodes
        .filter((node) => /^((Parallel )?Seq|Bitmap Heap|Index( Only)?) Scan/.test(node['Node Type']))
        .map((node) => (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops']);
      return {
        indexes: nodes.flatMap((node) => node['Index Name'] ?? []),
        scansAll: nodes.some((node) => node['Node Type'] === 'Seq Scan'),
        most: Math.max(...looks),
      };
    };

    it.each<[string, ApiKeyFilter, string]>([
      ['few', { search: 'team 77' }, 'api_key_search_texts_idx'],
      ['one', { search: 'C4CA4238A0B923820DCC' }, 'api_key_search_texts_idx'],
      ['none', { search: 'nobody wrote this' }, 'api_key_search_texts_idx'],
    ])('a search that %s match reads them by the trigram index', async (_kind, filter, index) => {
      const { indexes, scansAll, most } = await planOf(filter);
      expect(indexes).toContain(index);
      expect([scansAll, most <= KEYS / 20]).toEqual([false, true]);
    });

    it.each<[string, ApiKeyFilter]>([
      ['search', { search: 'calls models' }],
      ['search of one character', { search: 'a' }],
      ['tag', { tag: 'common' }],
      ['tag and a search', { tag: 'common', search: 'worker' }],
    ])('a %s that very many match stops at the newest 10 001', async (_kind, filter) => {
      const { scansAll, most } = await planOf(filter);
      expect([scansAll, most]).toEqual([false, expect.any(Number)]);
      // Every second key at least matches.
      expect(most).toBeLessThanOrEqual(2 * (MOST_COUNTED + 1) + 1_000);
    });

    it('a rare tag is found by the index over tags', async () => {
      const { indexes, most } = await planOf({ tag: 'rare' });
      expect(indexes).toContain('api_keys_tags_idx');
      expect(most).toBeLessThan(100);
    });

    it('a search of too few characters for the trigram index reads every text at most once', async () => {
      const { most } = await planOf({ search: 'qz' });
      expect(most).toBeLessThanOrEqual(KEYS + 2 * MOST_COUNTED + 1_000);
    });
  });
});
