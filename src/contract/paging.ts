import type { ApiPropertyOptions } from '@nestjs/swagger';
import { validationFailed } from '../common/app-error.js';
import { IntegerField, ResponseField, TextField } from './fields.js';
import { COUNT } from './wire-schemas.js';

/** `?page=1&size=10`, as in the seed, or `?cursor=…&size=10`. */
export class PageQuery {
  @IntegerField({
    minimum: 1,
    maximum: 1_000_000_000,
    optional: true,
    fromText: true,
    default: 1,
    description: 'The page, from 1. What is made or deleted meanwhile moves entries from page to page.',
  })
  page: number = 1;

  @IntegerField({
    minimum: 1,
    maximum: 100,
    optional: true,
    fromText: true,
    default: 10,
    description: 'Entries in a page.',
  })
  size: number = 10;

  @TextField({
    minLength: 1,
    maxLength: 500,
    optional: true,
    description:
      'The `next_cursor` of an answer of the same list, with the same filters and order, in place of `page`. It repeats and skips nothing when entries are made or deleted meanwhile.',
  })
  cursor?: string;
}

/** What every response with a page of a list ends with. */
export abstract class PagePart {
  page!: number | null;
  size!: number;
  next_cursor!: string | null;
}

const PAGE_PART: Readonly<Record<keyof PagePart, ApiPropertyOptions>> = {
  page: { ...COUNT, nullable: true, description: 'Null where a cursor was sent.' },
  size: { ...COUNT, description: 'The most entries of a page.' },
  next_cursor: { type: 'string', nullable: true, description: 'Leads to the next page; null on the last.' },
};

/** Documents `PagePart` after the fields of the class itself: those of a base class would come first, before the list. */
export function EndsWithPagePart(): ClassDecorator {
  return ({ prototype }) => {
    for (const [name, options] of Object.entries(PAGE_PART))
      ResponseField(options)(prototype as object, name);
  };
}

/** Which part of a list is asked for: a page by its number, or what follows a cursor. */
export interface PageRequest {
  readonly page: number;
  readonly size: number;
  readonly cursor: string | undefined;
}

/** The part that a query asks for. @throws AppError `validation.failed` when it names both a page and a cursor */
export function pageRequest({ page, size, cursor }: PageQuery): PageRequest {
  if (cursor !== undefined && page !== 1)
    throw validationFailed([{ field: 'page', message: 'must not be sent with a cursor' }]);
  return { page, size, cursor };
}

/** The number of the page as the answer shows it: a page that follows a cursor has none. */
export function shownPage({ page, cursor }: PageRequest): number | null {
  return cursor === undefined ? page : null;
}
