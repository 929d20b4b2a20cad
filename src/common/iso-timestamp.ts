const MOST_REMEMBERED = 1_000;
const texts = new Map<number, string>();

/** A moment in ISO 8601, of many that are the same: to make the text of one takes longer than to remember it. */
export function isoTimestamp(timeMs: number): string {
  let text = texts.get(timeMs);
  if (text === undefined) {
    if (texts.size >= MOST_REMEMBERED) texts.clear();
    text = new Date(timeMs).toISOString();
    texts.set(timeMs, text);
  }
  return text;
}
