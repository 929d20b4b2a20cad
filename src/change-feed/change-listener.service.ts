import { Injectable } from '@nestjs/common';
import type pg from 'pg';
import { LONGEST_LIFE_SECONDS, listenerOptions } from '../database/connection-options.js';
import { DatabaseServer } from '../database/database-server.js';
import { SessionClient } from '../database/session-client.js';

const CHANNEL = 'latchkey_changes';
const RECONNECT_MS = 500;

/** Hears the notifications of the change feed on a connection of its own, and connects again when that is lost. */
@Injectable()
export class ChangeListener {
  #client: pg.Client | undefined;
  #onNotification: () => void = () => undefined;
  #reconnect: NodeJS.Timeout | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(private readonly server: DatabaseServer) {}

  /** Calls `onNotification` for each notification, and whenever some may have been missed. */
  start(onNotification: () => void): void {
    this.#onNotification = onNotification;
    void this.#connect();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#reconnect);
    clearTimeout(this.#renewal);
    await this.#client?.end().catch(() => undefined);
  }

  async #connect(): Promise<void> {
    const client = new SessionClient(listenerOptions(this.server));
    client.on('error', () => this.#lose(client));
    client.on('end', () => this.#lose(client));
    client.on('notification', () => this.#onNotification());
    this.#client = client;
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      this.#onNotification();
      // What changes until it has connected again, the feed reads anyway.
      this.#renewal = setTimeout(() => this.#lose(client), LONGEST_LIFE_SECONDS * 1_000);
      this.#renewal.unref();
    } catch {
      this.#lose(client);
    }
  }

  #lose(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    clearTimeout(this.#renewal);
    client.end().catch(() => undefined);
    if (this.#isStopped) return;
    this.#reconnect = setTimeout(() => void this.#connect(), RECONNECT_MS);
    this.#reconnect.unref();
  }
}
