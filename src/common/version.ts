/** The last number of its column. */
const LAST_VERSION = 2_147_483_647;

/** The next version of a row; after the last it starts again, since any other number shows that the row has changed. */
export function nextVersion(version: number): number {
  return version < LAST_VERSION ? version + 1 : 1;
}
