/** A username as it is stored and compared. */
export function normalizeUsername(username: string): string {
  return username.trim().toLowerCase();
}
