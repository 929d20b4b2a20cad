import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { migrate } from '../../src/database/migrate.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { withDatabase } from '../support/database-url.js';
import { TestApp } from '../support/test-app.js';

const JOB = 'fold-api-key-search-texts';

/** Names as stored, and searches that must find them. */
const FOUND: readonly (readonly [name: string, searches: readonly string[]])[] = [
  ['Überwachung', ['überwachung', 'ÜBERWACHUNG', 'wachung', 'u\u0308berw']],
  ['Cafe\u0301 Zürich', ['café', 'CAFÉ', 'cafe\u0301', 'ZU\u0308RICH']],
  ['Straße', ['STRASSE', 'strasse', 'straße', 'STRAẞE', 'ß']],
  ['ΟΔΥΣΣΕΥΣ', ['οδυσσευς', 'οδυσσευσ', 'Οδυσσεύς'.normalize('NFD').replaceAll('\u0301', '')]],
  ['ﬁne ﬂow', ['fine', 'FLOW']],
  ['ＦＵＬＬ１２', ['full12', 'ｆｕｌｌ']],
  ['Москва', ['МОСКВА', 'москва']],
  ['İstanbul', ['i\u0307stanbul', 'İSTANBUL', 'stanbul']],
  ['日本語のキー', ['本語', 'キー', 'ｷｰ']],
  ['ａ％ｂ', ['a%', '％']],
  ['ᲗᲑᲘᲚᲘᲡᲘ', ['თბილისი']],
  ['ᾼδης', ['αιδης']],
];

describe('a search', () => {
  let app: TestApp;
  let database: TestDatabase;
  beforeAll(async () => {
    database = await cLocaleDatabase();
    app = await TestApp.start({ database });
    for (const [name] of FOUND) await app.apiKey(app.admin, { name });
  });
  afterAll(async () => {
    await app.stop();
    await database.drop();
  });

  const names = async (search: string) => {
    const { status, body } = await app.admin.get(`/api-keys?size=100&search=${encodeURIComponent(search)}`);
    expect(status).toBe(200);
    return body['api_keys'].map(({ name }: { name: string }) => name) as string[];
  };
  const expectAllFound = async () => {
    for (const [name, searches] of FOUND)
      for (const search of searches)
        expect({ search, names: await names(search) }).toEqual({ search, names: [name] });
  };

  it('finds what is the same text in another case or encoding, in a database of the C locale', async () => {
    const [locale] = await database.query(`SELECT lower('Ü') AS lower, upper('ü') AS upper`);
    expect(locale).toEqual({ lower: 'Ü', upper: 'ü' });
    await expectAllFound();
    expect(await names('überwachungen')).toEqual([]);
  });

  it('finds every letter of Unicode in each of its cases', async () => {
    const letters = casedLetters();
    expect(letters.length).toBeGreaterThan(2_000);
    const different = await database.query(
      `SELECT letter, other FROM unnest($1::text[], $2::text[]) AS cases (letter, other)
       WHERE fold_search_text(letter) <> fold_search_text(other)
         OR fold_search_text(fold_search_text(letter)) <> fold_search_text(letter)`,
      casePairs(letters),
    );
    expect(different).toEqual([]);
  });

  it('finds the texts of the version before while a job folds them, and when it is done, with the index', async () => {
    // As the version before left them in a database of this locale: lower() changes ASCII alone.
    const unfold = `
      UPDATE api_key_search_texts SET text = lower(name || chr(31) || coalesce(description, ''))
      FROM api_keys WHERE id = api_key_id`;
    const below = async () =>
      (await database.query<{ below: string }>('SELECT below::text FROM api_key_search_backlog'))[0]?.below;
    await database.query(
      `INSERT INTO api_keys (user_id, name, key_prefix)
       SELECT 1, CASE WHEN n % 2 = 0 THEN 'GRÖẞE ' ELSE 'plain ' END || n, 'en_xxxxx' FROM generate_series(1, 1200) AS n`,
    );
    await database.query(`${unfold}; UPDATE api_key_search_backlog SET below = ${Number.MAX_SAFE_INTEGER}`);
    const second = await TestApp.start({ database });
    try {
      const turn = () => second.app.get(Maintenance).runNow(JOB);
      const total = async (search: string) =>
        (await second.admin.get(`/api-keys?size=1&search=${encodeURIComponent(search)}`)).body['total'];
      const steps = new Set<string | undefined>();
      do {
        steps.add(await below());
        expect([await total('grösse'), await total('strasse'), await total('PLAIN 1')]).toEqual([
          600, 1, 156,
        ]);
        await turn();
      } while ((await below()) !== '0');
      expect(steps.size).toBeGreaterThanOrEqual(2);
      expect([await total('grösse'), await total('strasse'), await total('PLAIN 1')]).toEqual([600, 1, 156]);
      const unfolded = await database.query(
        `SELECT FROM api_key_search_texts JOIN api_keys ON id = api_key_id
         WHERE text <> api_key_search_text(name, description)`,
      );
      expect(unfolded).toEqual([]);
      await turn();
    } finally {
      await second.stop();
    }
  });

  it('never undoes a change that was made while the job looked', async () => {
    const { id } = await app.apiKey(app.admin, { name: 'ALTE Größe' });
    await database.query(
      `UPDATE api_key_search_texts SET text = 'alte größe' || chr(31) WHERE api_key_id = $1`,
      [id],
    );
    await app.admin.put(`/api-keys/${id}`, { name: 'NEUE Größe' });
    await database.query('UPDATE api_key_search_backlog SET below = $1', [id + 1]);
    const second = await TestApp.start({ database });
    await second.app.get(Maintenance).runNow(JOB);
    await second.stop();
    expect(await names('neue grösse')).toEqual(['NEUE Größe']);
    expect(await names('alte grösse')).toEqual([]);
  });
});

/** A migrated database in which lower() and upper() know ASCII alone. */
async function cLocaleDatabase(): Promise<TestDatabase> {
  const template = await createTestDatabase({ isEmpty: true });
  const name = `test_c_${randomBytes(6).toString('hex')}`;
  const url = withDatabase(inject('serverUrl'), name);
  await template.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`);
  await migrate(url);
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  pool.on('error', () => undefined);
  return {
    url,
    name,
    query: async <Row extends pg.QueryResultRow>(text: string, values?: unknown[]) =>
      (await pool.query<Row>(text, values)).rows,
    drop: async () => {
      await pool.end();
      await template.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await template.drop();
    },
  };
}

/** Letters that have another case, in Unicode 14: the tables of the database know no later ones. */
function casedLetters(): string[] {
  const letters = [];
  for (let code = 0x80; code <= 0x1_ff_ff; code += 1) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const letter = String.fromCodePoint(code);
    if ((letter.toLowerCase() !== letter || letter.toUpperCase() !== letter) && !isNewer(code))
      letters.push(letter);
  }
  return letters;
}

/** Letters that came after Unicode 14, and blocks in which such were added. */
function isNewer(code: number): boolean {
  const added = [
    [0x19b, 0x19b],
    [0x264, 0x264],
    [0x1c89, 0x1c8a],
    [0xa7cb, 0xa7dc],
    [0x10d50, 0x10d85],
    [0x16ea0, 0x16eff],
  ];
  return added.some(([first = 0, last = 0]) => code >= first && code <= last);
}

/** Each letter beside its lower and its upper case. The dotless i is none of the cases of i. */
function casePairs(letters: readonly string[]): [string[], string[]] {
  const pairs = letters
    .filter((letter) => letter !== 'ı')
    .flatMap((letter) => [
      [letter, letter.toLowerCase()],
      [letter, letter.toUpperCase()],
    ]);
  return [pairs.map(([letter = '']) => letter), pairs.map(([, other = '']) => other)];
}
