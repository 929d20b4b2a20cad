import { StreamableFile } from '@nestjs/common';
import { ApiOkResponse } from '@nestjs/swagger';
import { CONTENT_DISPOSITION } from './response-headers.js';

/** The media type of comma-separated values (RFC 4180, RFC 7111). */
export const CSV_MEDIA_TYPE = 'text/csv';

/** What a cell may hold: numbers are written as they are, null is an empty cell. */
export type CsvCell = string | number | null;

/**
 * What a spreadsheet would run as a formula (OWASP, CSV Injection): it begins with one of these, in their full-width
 * forms too, perhaps after blanks.
 */
const FORMULA = /^\s*[=+\-@＝＋－＠]|^[\t\r\n]/u;

/** Documents an answer made by `csvFile`. */
export function ApiCsvResponse(): MethodDecorator {
  return ApiOkResponse({
    description: 'The table, with a header line.',
    headers: { 'Content-Disposition': CONTENT_DISPOSITION },
    content: { [CSV_MEDIA_TYPE]: { schema: { type: 'string' } } },
  });
}

/** Lines of RFC 4180: a header, then the rows, each ended by CRLF. A text that would be a formula gets a `'` before it. */
export function csvText(header: readonly string[], rows: readonly (readonly CsvCell[])[]): string {
  return [header, ...rows].map((cells) => `${cells.map(csvCell).join(',')}\r\n`).join('');
}

/** The lines as an answer that a browser saves under `fileName`. */
export function csvFile(
  fileName: string,
  header: readonly string[],
  rows: readonly (readonly CsvCell[])[],
): StreamableFile {
  const bytes = Buffer.from(csvText(header, rows), 'utf8');
  return new StreamableFile(bytes, {
    type: `${CSV_MEDIA_TYPE}; charset=utf-8; header=present`,
    disposition: `attachment; filename="${fileName}"`,
    length: bytes.length,
  });
}

function csvCell(cell: CsvCell): string {
  if (cell === null) return '';
  if (typeof cell === 'number') return String(cell);
  const text = FORMULA.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
