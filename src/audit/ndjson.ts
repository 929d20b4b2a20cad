import { setImmediate as turn } from 'node:timers/promises';

/** The media type of newline-delimited JSON: one JSON value in each line. */
export const NDJSON_MEDIA_TYPE = 'application/x-ndjson';

const JSON_MEDIA_TYPE = 'application/json';

/**
 * True when an `Accept` header names newline-delimited JSON and does not prefer `application/json` (RFC 9110
 * §12.5.1). Of two with the same weight the first one named is meant: generated clients list all that a route has.
 */
export function prefersNdjson(accept: string | undefined): boolean {
  const named = (accept ?? '')
    .split(',')
    .map((range) => {
      const [type = '', ...parameters] = range
        .toLowerCase()
        .split(';')
        .map((part) => part.trim());
      const weight = parameters.find((parameter) => parameter.startsWith('q='));
      return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) };
    })
    .filter(({ type, weight }) => (type === NDJSON_MEDIA_TYPE || type === JSON_MEDIA_TYPE) && weight > 0)
    .toSorted((a, b) => b.weight - a.weight);
  return named[0]?.type === NDJSON_MEDIA_TYPE;
}

/** Characters after which a text of lines ends: written in one go, a whole batch would keep other requests waiting. */
const TEXT_LENGTH = 64 * 1_024;

/** Lines of JSON, many to a text: the caller takes the next text when it has sent the last. */
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
