import pg from 'pg';

/** The control plane's own connections, for statements that are written by hand; TypeORM shares them. */
export abstract class ControlPool extends pg.Pool {}

/** Connections of work that is not a change: group commits of audited reads, and jobs. */
export abstract class BackgroundPool extends pg.Pool {}
