import type { Writable } from 'node:stream';
import { pino } from 'pino';
import { escapeInJson, escapeLine, type Logger, redact, redactFields, shortenHome } from '../core/index.ts';

export type LogLevel = 'debug' | 'info' | 'warning' | 'error';

export interface LoggerOptions {
  readonly level: LogLevel;
  /** One JSON object per line: `ts, level, msg`, then the fields. Otherwise text for people. */
  readonly json: boolean;
  readonly output: Pick<Writable, 'write'>;
  /** Shown as `~` wherever it occurs. */
  readonly userHome: string;
}

/** Whatever a line quotes, it stays one line and moves no cursor. Lines go to `output` with secrets replaced and the user's home shortened, in the message and in every field. */
export function createLogger(options: LoggerOptions): Logger {
  const logger = pino(
    {
      level: options.level === 'warning' ? 'warn' : options.level,
      base: null,
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label === 'warn' ? 'warning' : label }) },
    },
    { write: (line: string) => options.output.write(shortenHome(options.json ? escapeInJson(line) : toText(line), options.userHome)) },
  );
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      if (logger.isLevelEnabled(level)) logger[level](redactFields(withErrorsTold(fields)), redact(message));
    };
  return { debug: at('debug'), info: at('info'), warning: at('warn'), error: at('error') };
}

/** `12:00:01 warning The engine ended  pid=12 code=null`. */
function toText(line: string): string {
  const { level, ts, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const rest = Object.entries(fields)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value)}`);
  return `${String(ts).slice(11, 19)} ${String(level).padEnd(7)} ${escapeLine([msg, ...rest].join('  '))}\n`;
}

/** Errors keep message and code; stacks stay out of logs. */
function withErrorsTold(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.values(fields).some((value) => value instanceof Error)
    ? Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, value instanceof Error ? describeError(value) : value]))
    : fields;
}

function describeError(value: Error): unknown {
  return { message: value.message, ...('code' in value && typeof value.code === 'string' ? { code: value.code } : {}) };
}
