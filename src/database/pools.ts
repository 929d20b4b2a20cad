import pg from 'pg';

/** The control plane's own connections, for statements that are written by hand; TypeORM shares them. */
export abstract class ControlPool extends pg.Pool {}

/**
 * Connections that only read a caller's authority again, while a change holds one of the control plane's: with one pool
 * for both, changes could take all of it and wait for each other.
 */
export abstract class AuthorityPool extends pg.Pool {}

/** Connections of the data plane: keys that are not in memory. It gives up after a quarter of a second. */
export abstract class DataPlanePool extends pg.Pool {}

/** Connections of metering: usage events and budget holds, a group of callers to a statement. */
export abstract class MeteringPool extends pg.Pool {}

/** Connections of reads that may be long: sums of usage, searches, the audit log. Other requests never wait for them. */
export abstract class ReportPool extends pg.Pool {}

/** The connection that reads the change feed, so that no flood elsewhere can delay a revocation. */
export abstract class FeedPool extends pg.Pool {}

/** Connections of work that is not a change: group commits of audited reads, and jobs. */
export abstract class BackgroundPool extends pg.Pool {}
