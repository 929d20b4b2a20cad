/*
 * What the table of key fields says of each.
 */

/** What the API document says of a field, in requests or in responses. */
interface Documented {
  readonly description?: string;
  readonly example?: unknown;
}

/** The ways in which a field restricts a key. */
export type Restriction = 'expiry' | 'limit' | 'addresses' | 'names' | 'scopes' | 'switch' | 'budget';

/** One field of a key's policy. */
interface Field {
  /** On the wire, and of its column. */
  readonly wireName: string;
  readonly isNullable?: true;
  /** Absent where a create may state it and need not. Each may be left out of an update. */
  readonly onCreate?: 'required' | 'refused';
  /** Of a new key that a person creates, before the request; the default of the column where it is not null. */
  readonly initial: string | boolean | null | readonly [];
  readonly request: Documented;
  readonly response: Documented;
  /**
   * How it restricts a key and with it the children of that key, which start with a copy unless it is `scopes`;
   * `lineage.policy.ts` has a rule for each. Absent for what only describes.
   */
  readonly restriction?: Restriction;
  /** Whether verdicts have it in memory: of the key alone, or of the whole line. */
  readonly cachedFor?: 'key' | 'line';
}

interface TextField extends Field {
  readonly kind: 'text';
  readonly initial: string | null;
  readonly minLength?: number;
  readonly maxLength: number;
}

interface BooleanField extends Field {
  readonly kind: 'boolean';
  readonly initial: boolean;
}

interface IntegerField extends Field {
  readonly kind: 'integer';
  readonly initial: null;
  readonly column: 'integer' | 'bigint';
  readonly minimum: number;
  readonly maximum: number;
}

interface TimestampField extends Field {
  readonly kind: 'timestamp';
  readonly initial: null;
}

interface ChoiceField extends Field {
  readonly kind: 'choice';
  readonly initial: null;
  readonly choices: readonly string[];
  /** The name of the choices in the API document. */
  readonly schemaName: string;
}

interface TextsField extends Field {
  readonly kind: 'texts';
  readonly initial: readonly [];
  /**
   * Of names that restrict a key: what a request for a verdict calls one of them, with the text of the API document, and the
   * code of a verdict on a key that may not use it.
   */
  readonly asked?: { readonly input: string; readonly description: string; readonly refusal: string };
  /** Why an entry is refused, as the end of a sentence; any text of 1 to 200 characters is fine where absent. */
  readonly entryCheck?: (entry: unknown) => string | undefined;
}

/** A row of the table. */
export type ApiKeyField = TextField | BooleanField | IntegerField | TimestampField | ChoiceField | TextsField;

interface KindValues {
  readonly text: string;
  readonly boolean: boolean;
  readonly integer: number;
  readonly timestamp: Date;
  readonly texts: string[];
}

type OrNull<Row, Value> = Row extends { readonly isNullable: true } ? Value | null : Value;

/** The type of the values of a field, in code and in a row of the database. */
export type ValueOf<Row> = Row extends {
  readonly kind: 'choice';
  readonly choices: readonly (infer Choice)[];
}
  ? OrNull<Row, Choice>
  : Row extends { readonly kind: keyof KindValues }
    ? OrNull<Row, KindValues[Row['kind']]>
    : never;

/** The type of such a value in an answer. */
export type ShownAs<Value> = Value extends Date ? string : Value extends string[] ? readonly string[] : Value;
