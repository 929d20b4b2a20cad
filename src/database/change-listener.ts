import { Injectable } from '@nestjs/common';
import pg from 'pg';
import { Config } from '../config/config.js';
import { listenerOptions } from './connection-options.js';

const CHANNEL = 'latchkey_changes';
const RECONNECT_MS = 500;

/** Hears the notifications of the change feed on a connection of its own, and connects again when that is lost. */
@Injectable()
export class ChangeListener {
  #client: pg.Client | undefined;
  #onNotification: () => void = () => undefined;
  #reconnect: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(private readonly config: Config) {}

  /** Calls `onNotification` for each notification, and whenever some may have been missed. */
  start(onNotification: () => void): void {
    this.#onNotification = onNotification;
    void this.#connect();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#reconnect);
    await this.#client?.end().catch(() => undefined);
  }

  async #connect(): Promise<void> {
    const client = new pg.Client(listenerOptions(this.config.databaseUrl?.reveal() ?? ''));
    client.on('error', () => this.#lose(client));
    client.on('end', () => this.#lose(client));
    client.on('notification', () => this.#onNotification());
    this.#client = client;
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANNEL}`);
      this.#onNotification();
    } catch {
      this.#lose(client);
    }
  }

  #lose(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    client.end().catch(() => undefined);
    if (this.#isStopped) return;
    this.#reconnect = setTimeout(() => void this.#connect(), RECONNECT_MS);
    this.#reconnect.unref();
  }
}
