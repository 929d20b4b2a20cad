import type pg from 'pg';
import { SessionClient, sessionConfig } from './session-client.js';

type AnyQuery = (...parameters: unknown[]) => unknown;

/** The name by which migrations and SQL functions speak of our schema, where they have to name it. */
const SCHEMA_IN_SOURCES = /\bpublic\b/g;

/** A connection for migrations and SQL functions, whose sources say `public` where they mean the schema of `DATABASE_SCHEMA`. */
export class MigrationClient extends SessionClient {
  constructor(config?: string | pg.ClientConfig) {
    super(config);
    const { schema } = sessionConfig(config).server;
    if (schema === 'public') return;
    const query = this.query.bind(this) as AnyQuery;
    this.query = ((text: unknown, ...others: unknown[]) =>
      query(
        typeof text === 'string' ? text.replace(SCHEMA_IN_SOURCES, () => schema) : text,
        ...others,
      )) as typeof this.query;
  }
}
