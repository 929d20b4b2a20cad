import { IntegerField } from './fields.js';

/** `?page=1&size=10`, as in the seed. */
export class PageQuery {
  @IntegerField({
    minimum: 1,
    maximum: 1_000_000_000,
    optional: true,
    fromText: true,
    default: 1,
    description: 'The page, from 1.',
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
}
