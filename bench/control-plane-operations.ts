import { SEEDED_ADMIN, SEEDED_DEVELOPERS, SEEDED_USERS, TEAMS, ticketOf } from './support/api-key-seed.js';
import type { LoadRequest, RequestPlan } from './support/load-plan.js';
import { seededRandom } from './support/statistics.js';

/** Whose credentials requests carry, by turns: that of the admin, those of users without permissions, of developers. */
export type Caller = 'admin' | 'users' | 'developers';

/** One thing the control plane does, as requests that Latchkey and the reference understand. */
export interface Operation {
  readonly name: string;
  readonly method: RequestPlan['method'];
  readonly as: Caller;
  readonly requests: readonly LoadRequest[];
}

/** A read whose latency alone is of interest. */
export interface ReadVariant {
  readonly name: string;
  readonly as: Caller;
  readonly path: string;
}

/** Who the callers are, by name. No key is made for the admin: they would all wait for the admin's row. */
export const CALLERS: Readonly<Record<Caller, readonly string[]>> = {
  admin: [SEEDED_ADMIN],
  users: Array.from({ length: 50 }, (_item, index) => `user-${1 + index * 19}`),
  developers: Array.from({ length: SEEDED_DEVELOPERS }, (_item, index) => `user-${SEEDED_USERS - index}`),
};

const API_KEYS = '/api/v1/api-keys';
const PURPOSES = ['worker', 'gateway', 'importer', 'exporter', 'dashboard', 'chatbot', 'scheduler'];
/** More updates than any server answers in a second. */
const UPDATES_PER_SECOND = 8_000;

/**
 * What is compared, over `keys` seeded keys. Reads come first: they see the tables as they were seeded. No update sets
 * a description twice in `seconds` of load, since setting what is there changes nothing.
 */
export function operations(keys: number, seconds: number): Operation[] {
  const random = seededRandom(1);
  const below = (end: number) => Math.floor(random() * end);
  const anyKey = () => 1 + below(keys);
  const team = (index: number) => TEAMS[index % TEAMS.length] ?? '';
  const purpose = (index: number) => PURPOSES[index % PURPOSES.length] ?? '';
  const farPage = Math.floor(keys / 100);
  const reads: Operation[] = [
    reading('get', 20_000, () => `${API_KEYS}/${anyKey()}`),
    reading('list, first page', 1, () => list(1)),
    reading('list, a tenth of the way down', 100, (index) => list(farPage + index)),
    { ...reading('list, one’s own', CALLERS.users.length, () => list(1)), as: 'users' },
    reading('search, one match', 2_000, () => list(1, `search=${ticketOf(describedKey(anyKey()))}`)),
    reading('search, one match in a thousand', TEAMS.length * PURPOSES.length, (index) =>
      list(1, `search=${team(index)}%20${purpose(index)}`),
    ),
  ];
  const update = (index: number): LoadRequest => ({
    path: `${API_KEYS}/${anyKey()}`,
    body: { description: `Moved to the new cluster, change ${below(1e9)}-${index}.` },
  });
  const create = (index: number): LoadRequest => ({
    path: API_KEYS,
    body: {
      name: `${team(index)} deployment ${below(1e6)}`,
      description: `Made by the pipeline for release ${below(1e6)} of the ${team(below(1e6))} team.`,
      scopes: ['chat:write', 'embeddings:read'],
      tags: ['production', team(below(1e6))],
    },
  });
  return [
    ...reads,
    { name: 'update', method: 'PUT', as: 'admin', requests: many(UPDATES_PER_SECOND * seconds, update) },
    { name: 'create', method: 'POST', as: 'developers', requests: many(1_000, create) },
  ];
}

/** Lists and searches of every kind, the worst included, over `keys` seeded keys. */
export function readVariants(keys: number): ReadVariant[] {
  const lastPage = Math.floor(keys / 10);
  const variant = (name: string, path: string, as: Caller = 'admin') => ({ name, as, path });
  const search = (name: string, text: string, page = 1) =>
    variant(`search: ${name}`, list(page, `search=${encodeURIComponent(text)}`));
  return [
    variant('list: first page', list(1)),
    variant('list: first page of 100', `${API_KEYS}?page=1&size=100`),
    variant('list: a tenth of the way down', list(Math.floor(lastPage / 10))),
    variant('list: last page', list(lastPage)),
    variant('list: inactive ones', list(1, 'is_active=false')),
    variant('list: inactive ones, last page', list(Math.floor(lastPage / 20), 'is_active=false')),
    variant('list: one’s own', list(1), 'users'),
    variant('list: one’s own, last page', list(Math.max(1, Math.floor(keys / SEEDED_USERS / 10))), 'users'),
    variant('tag: one key in four', list(1, 'tag=production')),
    variant('tag: one in 43', list(1, 'tag=robotics')),
    variant('tag: none', list(1, 'tag=nobody-has-this')),
    search('one match', ticketOf(describedKey(keys))),
    search('no match', 'nothing holds this'),
    search('one in 1 100', 'robotics importer'),
    search('one in 32', 'robotics'),
    search('one in 32, page 1 000', 'robotics', 1_000),
    search('six in seven', 'calls the models'),
    search('one character that one in 3 holds', '7'),
    search('one character that all hold', ' '),
    search('two characters that one in 8 holds', 'ro'),
    search('two characters that none holds', 'qz'),
    search('words that nearly all hold, in an order that none does', 'team ops'),
    { ...search('one’s own', 'robotics'), as: 'users' },
    search('all match, last page', ' ', lastPage),
  ];
}

function reading(name: string, count: number, path: (index: number) => string): Operation {
  return { name, method: 'GET', as: 'admin', requests: many(count, (index) => ({ path: path(index) })) };
}

function many(count: number, request: (index: number) => LoadRequest): LoadRequest[] {
  return Array.from({ length: count }, (_item, index) => request(index));
}

function list(page: number, filter?: string): string {
  return `${API_KEYS}?page=${page}&size=10${filter === undefined ? '' : `&${filter}`}`;
}

/** The id itself, or the one before: every seventh key has no description. */
function describedKey(apiKeyId: number): number {
  return apiKeyId % 7 === 0 ? apiKeyId - 1 : apiKeyId;
}
