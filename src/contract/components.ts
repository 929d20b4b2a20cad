import { isDeepStrictEqual } from 'node:util';

/** A JSON Schema, or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>;

interface Component {
  /** As validators take it. */
  readonly schema: JsonSchema;
  /** As the document shows it. */
  readonly documented: JsonSchema;
}

const components = new Map<string, Component>();

/**
 * A schema with a name: in the API document it becomes a component, wherever it is used. The name is its `title`, which
 * validators ignore. A copy may have another description, examples or a default, and may be null as well (`nullable`).
 * `documented` stands in the document in its place, where a validator is given a form that is faster to check.
 * @throws Error when the name has another schema already
 */
export function component<const Schema extends JsonSchema>(
  name: string,
  schema: Schema,
  documented: JsonSchema = schema,
): Schema & { readonly title: string } {
  const earlier = components.get(name);
  if (earlier !== undefined && !isDeepStrictEqual(earlier, { schema, documented }))
    throw new Error(`There are two schemas named ${name}.`);
  components.set(name, { schema, documented });
  return { ...schema, title: name };
}

/** Refers to a component that a module further up declares. */
export function referenceTo(name: string): { readonly title: string } {
  return { title: name };
}

/** The schema with this name. */
export function componentNamed(name: unknown): Component | undefined {
  return typeof name === 'string' ? components.get(name) : undefined;
}
