/** Any JSON value that an event may carry: scalars and plain collections of them, never entities or secrets. */
export type EventValue =
  string | number | boolean | null | readonly EventValue[] | { readonly [name: string]: EventValue };

/** Fields by their names on the wire. */
export type Values = Readonly<Record<string, EventValue>>;

/** An organization, or with `projectId` one of its projects. */
export interface Place {
  readonly organizationId: number;
  readonly projectId: number | null;
}
