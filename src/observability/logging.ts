import type { LoggerService } from '@nestjs/common';
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import { prettyFactory } from 'pino-pretty';
import type { Redactor } from '../common/redactor.js';
import type { Config } from '../config/config.js';
import { currentRequestContext } from '../context/request-context.js';
import { RepeatedLines } from './repeated-lines.js';
import { requestLine } from './request-line.js';

/** After any number of whole `\\`, the beginning of another escape. */
const CUT_ESCAPE = /(?<!\\)((?:\\\\)*)\\(?:u[\da-f]{0,3})?\[redacted\]/g;
const MOST_WAITING_BYTES = 16 * 1024 * 1024;

/**
 * The one logger of the process: a line of JSON per entry, or text for a terminal. Lines written while a request
 * is answered carry its `request_id`. Every line passes the redactor as its last step, wherever it comes from.
 */
export function createLogger(
  config: Pick<Config, 'logLevel' | 'logFormat'>,
  redactor: Redactor,
  destination: DestinationStream = standardOutput(),
): Logger {
  const prettify = prettyFactory({
    colorize: process.stdout.isTTY,
    ignore: 'pid,hostname',
    singleLine: true,
  });
  const format =
    config.logFormat === 'pretty'
      ? (line: string) => requestLine(line) ?? prettify(line)
      : (line: string) => line;
  return pino(
    {
      level: config.logLevel,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      mixin: requestFields,
    },
    { write: (line) => destination.write(maskLine(format(line), redactor)) },
  );
}

/**
 * A line of the log without secrets. A mask may swallow the end of a JSON escape (`\n` before a secret that begins with
 * n): what is left of it goes too.
 */
export function maskLine(line: string, redactor: Redactor): string {
  const masked = redactor.maskText(line);
  return masked === line ? line : masked.replace(CUT_ESCAPE, '$1[redacted]');
}

function requestFields(): object {
  const context = currentRequestContext();
  return context === undefined ? {} : { request_id: context.requestId };
}

/**
 * Standard output, written without ever stopping the service: lines are dropped while its reader is far behind,
 * and a reader that has left or a full disk is no reason to end.
 */
function standardOutput(): DestinationStream {
  const { stdout } = process;
  stdout.off('error', ignoreFailure).on('error', ignoreFailure);
  return {
    write: (line) => {
      if (stdout.writableLength < MOST_WAITING_BYTES) stdout.write(line);
    },
  };
}

function ignoreFailure(): void {}

type Level = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace';

/** Nest logs every module and route; that is for debugging. */
const START_UP_DETAIL = new Set(['InstanceLoader', 'RouterExplorer', 'RoutesResolver']);

/** Nest's logger over ours: the name given to `new Logger(name)` becomes the field `context`. */
export class NestLogger implements LoggerService {
  readonly #repeated = new RepeatedLines();

  constructor(private readonly logger: Logger) {}

  log(message: unknown, ...rest: unknown[]): void {
    this.#write(START_UP_DETAIL.has(String(rest.at(-1))) ? 'debug' : 'info', message, rest);
  }

  fatal(message: unknown, ...rest: unknown[]): void {
    this.#write('fatal', message, rest);
  }

  error(message: unknown, ...rest: unknown[]): void {
    this.#write('error', message, rest);
  }

  /** A warning that repeats is written once in ten seconds, then with `repeated`, the number of times it came. */
  warn(message: unknown, ...rest: unknown[]): void {
    const text = `${String(rest.at(-1))}: ${message instanceof Error ? message.message : String(message)}`;
    this.#repeated.pass(text, (repeated) => this.#write('warn', message, rest, { repeated }));
  }

  debug(message: unknown, ...rest: unknown[]): void {
    this.#write('debug', message, rest);
  }

  verbose(message: unknown, ...rest: unknown[]): void {
    this.#write('trace', message, rest);
  }

  /** Nest appends the context last; before it `error` may be given a stack, and any level further values. */
  #write(level: Level, message: unknown, rest: readonly unknown[], more: object = {}): void {
    if (!this.logger.isLevelEnabled(level)) return;
    const last = rest.at(-1);
    const context = typeof last === 'string' && !isStack(last) ? last : undefined;
    const values = context === undefined ? rest : rest.slice(0, -1);
    const stack = values.find(isStack);
    const details = values.filter((value) => value !== undefined && value !== stack);
    const fields = { ...more, context, stack, ...(details.length === 0 ? {} : { details }) };
    if (message instanceof Error) this.logger[level]({ ...fields, err: message }, message.message);
    else if (typeof message === 'string') this.logger[level](fields, message);
    else this.logger[level]({ ...fields, value: message });
  }
}

function isStack(value: unknown): value is string {
  return typeof value === 'string' && /\n\s*at /.test(value);
}
