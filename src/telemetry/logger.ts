import type { Writable } from 'node:stream';
import { pino } from 'pino';
import { type Logger, redact } from '../core/index.ts';

export type LogLevel = 'debug' | 'info' | 'warning' | 'error';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** One JSON object per line: `ts, level, msg`, then the fields. Otherwise text for people. */
  readonly json: boolean;
  readonly output: Pick<Writable, 'write'>;
  /** Shown as `~` wherever it occurs. */
  readonly userHome: string;
}

/** Lines go to `output` with secrets replaced and the user's home shortened, in the message and in every field. */
export function createLogger(options: LoggerOptions): Logger {
  const clean = (line: string): string => redact(options.userHome.length > 1 ? line.replaceAll(options.userHome, '~') : line);
  const logger = pino(
    {
      level: options.level === 'warning' ? 'warn' : options.level,
      base: null,
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label === 'warn' ? 'warning' : label }) },
      serializers: { error: describeError, cause: describeError },
    },
    { write: (line: string) => options.output.write(clean(options.json ? line : toText(line))) },
  );
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warning: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
  };
}

/** `12:00:01 warning The engine ended  pid=12 code=null`. */
function toText(line: string): string {
  const { level, ts, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value)}`);
  return `${String(ts).slice(11, 19)} ${String(level).padEnd(7)} ${escapeControls([msg, ...rest].join('  '))}\n`;
}

/** Whatever a log line quotes, it stays one line and moves no cursor. */
function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Errors keep message and code; stacks stay out of logs. */
function describeError(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  return { message: value.message, ...('code' in value && typeof value.code === 'string' ? { code: value.code } : {}) };
}
