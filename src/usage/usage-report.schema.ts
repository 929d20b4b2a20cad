import { component } from '../contract/components.js';
import { COUNT, FIELD_ERROR_SCHEMA } from '../contract/wire-schemas.js';
import { USAGE_EVENT_SCHEMA } from './usage-event.schema.js';

/** The most events in one report. */
const MOST_EVENTS = 1_000;

const INDEX = {
  type: 'integer',
  minimum: 0,
  maximum: MOST_EVENTS - 1,
  description: 'The place of the event in the list, from 0.',
} as const;

/** What was used, as the document shows it. A single event is read too; a choice of both is more than generators understand. */
export const USAGE_REPORT_SCHEMA = {
  type: 'array',
  maxItems: MOST_EVENTS,
  items: USAGE_EVENT_SCHEMA,
  description: 'Up to 1,000 events. A single event without the list is read as well.',
} as const;

/** What became of the events of a report. */
export const USAGE_REPORT_RESULT_SCHEMA = component('UsageReportResult', {
  type: 'object',
  description: 'What became of the events of a report.',
  required: ['accepted', 'duplicates', 'conflicts', 'rejected'],
  properties: {
    accepted: { ...COUNT, description: 'Events recorded by this request.' },
    duplicates: { ...COUNT, description: 'Events that were recorded before.' },
    conflicts: {
      type: 'array',
      description: 'Those of the duplicates that differ from what was recorded.',
      items: component('UsageConflict', {
        type: 'object',
        description: 'An event that differs from the one recorded under its request id.',
        required: ['index', 'request_id'],
        properties: { index: INDEX, request_id: { type: 'string', description: 'The request id of both.' } },
      }),
    },
    rejected: {
      type: 'array',
      items: component('UsageRejection', {
        type: 'object',
        description: 'An event that was not recorded.',
        required: ['index', 'errors'],
        properties: {
          index: INDEX,
          errors: { type: 'array', items: FIELD_ERROR_SCHEMA, description: 'The rules that it breaks.' },
        },
      }),
      description: 'Every event that was not recorded. Together they name at most 50 broken rules.',
    },
    errors_truncated: {
      type: 'boolean',
      description: '`true` when more rules are broken than are named; absent otherwise.',
    },
  },
});
