import { setImmediate as turn } from 'node:timers/promises';

/** The media type of newline-delimited JSON: one JSON value in each line. */
export const NDJSON_MEDIA_TYPE = 'application/x-ndjson';

/** Characters after which a text of lines ends: written in one go, a whole batch would keep other requests waiting. */
const TEXT_LENGTH = 64 * 1_024;

/** Lines of JSON in chunks of about 64 kB; the next chunk is built when the last was sent. */
export async function* ndjsonLines<Item>(
  batches: AsyncIterable<readonly Item[]>,
  toWire: (item: Item) => object,
): AsyncGenerator<string, void, void> {
  for await (const batch of batches) {
    let text = '';
    for (const item of batch) {
      text += `${JSON.stringify(toWire(item))}\n`;
      if (text.length < TEXT_LENGTH) continue;
      yield text;
      text = '';
      await turn();
    }
    if (text !== '') yield text;
  }
}
