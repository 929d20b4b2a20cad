import pg from 'pg';

/**
 * A client whose connection may break at any moment. Its query fails then, and the pool replaces it; but between the
 * moment in which the pool hands it out and the one in which its holder listens, the event that tells of it would be
 * heard by nobody, and end the process.
 */
export class SteadyClient extends pg.Client {
  constructor(config?: string | pg.ClientConfig) {
    super(config);
    this.on('error', () => undefined);
  }
}
