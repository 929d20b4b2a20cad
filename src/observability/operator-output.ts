/** The level of a line for the operator. */
export type OperatorLevel = 'info' | 'warn' | 'fatal';

/**
 * Lines that the process writes outside the logger: at the start, at the stop and when its own database fails. They
 * have the format of the log: JSON, or sentences where the log is text.
 */
export class OperatorOutput {
  constructor(readonly format: 'json' | 'pretty') {}

  /** The output that fits an environment whose configuration may not be usable. */
  static of(environment: Readonly<Record<string, string | undefined>>): OperatorOutput {
    const { LOG_FORMAT: format, NODE_ENV: mode } = environment;
    if (format === 'json' || format === 'pretty') return new OperatorOutput(format);
    return new OperatorOutput(process.stdout.isTTY && mode !== 'production' ? 'pretty' : 'json');
  }

  /** A sentence; `fields` are added to the line of JSON alone. */
  say(level: OperatorLevel, sentence: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (this.format === 'json') process.stdout.write(jsonLine(level, sentence, fields));
    else process.stderr.write(`${sentence}\n`);
  }

  /** Lines of text for people, or one line of JSON in their place. */
  show(text: readonly string[], message: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.format === 'json') process.stdout.write(jsonLine('info', message, fields));
    else process.stdout.write(`\n${text.join('\n')}\n\n`);
  }
}

function jsonLine(level: OperatorLevel, msg: string, fields: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ level, time: new Date().toISOString(), ...fields, msg })}\n`;
}
