/** What a budget is, in whole numbers and in memory: the reference that the SQL functions are compared with. */
export class IntegerLedger {
  readonly accounts: ModelAccount[];
  readonly holds: ModelHold[] = [];
  /** Those that were accepted. */
  readonly events: AcceptedEvent[] = [];
  /** The account of the project and that of the organization, by their places; there once a limit was set. */
  readonly #scopes = new Set<number>();
  readonly #inactive = new Set<number>();
  readonly #seen = new Set<string>();

  /** `parents[i]` is the account above that of key i. After those of the keys come their project's and organization's. */
  constructor(readonly parents: readonly (number | undefined)[]) {
    this.accounts = [...parents, 'project', 'organization'].map(() => ({
      limit: null,
      isMonthly: false,
      isMonthOver: false,
      period: 0,
      spent: 0,
      held: 0,
    }));
  }

  get holdCount(): number {
    return this.holds.length;
  }

  get eventCount(): number {
    return this.events.length;
  }

  chainOf(key: number): number[] {
    const parent = this.parents[key];
    if (parent !== undefined) return [key, ...this.chainOf(parent)];
    return [key, ...[...this.#scopes].toSorted((a, b) => a - b)];
  }

  /** Those that there are. */
  get storedAccounts(): ModelAccount[] {
    return this.accounts.filter((_, place) => place < this.parents.length || this.#scopes.has(place));
  }

  /** What becomes of requests that come together: `granted`, `existing`, `disabled` or the reason of a refusal. */
  hold(requests: readonly ModelRequest[]): string[] {
    for (const { key } of requests) this.#touch(this.chainOf(key));
    return requests.map((request) => this.#holdOne(request));
  }

  /** What becomes of events that come together. */
  record(events: readonly ModelEvent[]): string[] {
    for (const { key, hold } of events) {
      this.#touch(this.chainOf(key));
      const target = hold === undefined ? undefined : this.holds[hold];
      if (target !== undefined) this.#touch(target.chain);
    }
    return events.map((event) => this.#recordOne(event));
  }

  release(index: number): string {
    const hold = this.holds[index]!;
    this.#touch(hold.chain);
    if (hold.status === 'held') this.#close(hold, hold.isTimeOver ? 'lapsed' : 'released');
    return hold.status;
  }

  extend(index: number): string {
    const hold = this.holds[index]!;
    this.#touch(hold.chain);
    return hold.status === 'held' && hold.isTimeOver ? 'lapsed' : hold.status;
  }

  endTime(index: number): void {
    this.holds[index]!.isTimeOver = true;
  }

  sweep(): number {
    const lapsed = this.holds.filter(({ status, isTimeOver }) => status === 'held' && isTimeOver);
    for (const hold of lapsed) this.#touch(hold.chain);
    for (const hold of lapsed) this.#close(hold, 'lapsed');
    return lapsed.length;
  }

  setLimit(key: number, limit: number | null, isMonthly: boolean): void {
    if (key >= this.parents.length) {
      if (limit === null && !this.#scopes.has(key)) return;
      this.#scopes.add(key);
    }
    this.#touch([key]);
    Object.assign(this.accounts[key]!, { limit, isMonthly });
  }

  /** The same month for all. */
  endMonth(): void {
    for (const account of this.accounts) account.isMonthOver ||= account.isMonthly;
  }

  setActive(key: number, isActive: boolean): void {
    if (isActive) this.#inactive.delete(key);
    else this.#inactive.add(key);
  }

  /** Takes an event back; answers whether that is new. */
  reverse(index: number): boolean {
    const event = this.events[index]!;
    this.#touch(this.chainOf(event.key));
    this.#touch(event.holdChain);
    if (event.isReversed) return false;
    event.isReversed = true;
    for (const { place, period } of event.charges) {
      const account = this.accounts[place]!;
      if (account.period === period) account.spent -= event.cost;
    }
    return true;
  }

  #holdOne({ key, amount, requestId }: ModelRequest): string {
    const isRepeated = this.holds.some((hold) => hold.key === key && hold.requestId === requestId);
    if (requestId !== null && isRepeated) return 'existing';
    if (this.#inactive.has(key)) return 'disabled';
    const chain = this.chainOf(key);
    const reasons = new Set(chain.map((place) => reasonOf(this.accounts[place]!, amount)));
    const reason = REASONS.find((each) => reasons.has(each));
    if (reason !== undefined) return reason;
    for (const place of chain) this.accounts[place]!.held += amount;
    const periods = chain.map((place) => this.accounts[place]!.period);
    this.holds.push({ key, amount, requestId, status: 'held', isTimeOver: false, chain, periods });
    return 'granted';
  }

  #recordOne({ key, requestId, cost, hold: index }: ModelEvent): string {
    if (this.#seen.has(`${key}:${requestId}`)) return 'duplicate';
    const hold = index === undefined ? undefined : this.holds[index];
    if (index !== undefined && hold?.key !== key) return 'unknown_hold';
    if (hold?.status === 'released' || hold?.status === 'settled') return `hold_${hold.status}`;
    this.#seen.add(`${key}:${requestId}`);
    const places = hold === undefined ? this.chainOf(key) : this.#charged(hold);
    const charges = places.map((place) => ({ place, period: this.accounts[place]!.period }));
    this.events.push({ key, cost, charges, holdChain: hold?.chain ?? [], isReversed: false });
    for (const place of places) this.accounts[place]!.spent += cost;
    if (hold !== undefined) {
      this.#close(hold, 'settled');
      hold.cost = cost;
    }
    return 'accepted';
  }

  #close(hold: ModelHold, status: ModelHold['status']): void {
    if (hold.status === 'held')
      for (const place of this.#charged(hold)) this.accounts[place]!.held -= hold.amount;
    hold.status = status;
  }

  /** The places of those accounts of a hold that are still in the period it was taken in. */
  #charged({ chain, periods }: ModelHold): number[] {
    return chain.filter((place, depth) => this.accounts[place]!.period === periods[depth]);
  }

  /** The first use of an account whose month is over begins the next. */
  #touch(places: readonly number[]): void {
    for (const place of places) {
      const account = this.accounts[place]!;
      if (!account.isMonthOver) continue;
      Object.assign(account, { isMonthOver: false, period: account.period + 1, spent: 0, held: 0 });
    }
  }
}

const REASONS = ['amount_exceeds_limit', 'budget_exhausted', 'held'];

function reasonOf({ limit, spent, held }: ModelAccount, amount: number): string | undefined {
  if (limit === null || spent + held + amount <= limit) return undefined;
  if (amount > limit) return 'amount_exceeds_limit';
  return spent + amount > limit ? 'budget_exhausted' : 'held';
}

export interface ModelAccount {
  limit: number | null;
  isMonthly: boolean;
  isMonthOver: boolean;
  period: number;
  spent: number;
  held: number;
}

export interface ModelHold {
  readonly key: number;
  readonly amount: number;
  readonly requestId: string | null;
  readonly chain: readonly number[];
  readonly periods: readonly number[];
  status: 'held' | 'settled' | 'released' | 'lapsed';
  isTimeOver: boolean;
  cost?: number;
}

/** An event that counts until it is taken back. */
export interface AcceptedEvent {
  readonly key: number;
  readonly cost: number;
  /** The accounts that it was charged to, and their periods then. */
  readonly charges: readonly { readonly place: number; readonly period: number }[];
  readonly holdChain: readonly number[];
  isReversed: boolean;
}

export interface ModelRequest {
  readonly key: number;
  readonly amount: number;
  readonly requestId: string | null;
}

export interface ModelEvent {
  readonly key: number;
  readonly requestId: string;
  readonly cost: number;
  /** Of all holds granted so far, by their order. */
  readonly hold?: number | undefined;
}
