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
  const write = (line: string) => options.output.write(shortenHome(line, options.userHome));
  const told = options.json ? jsonLines(options.level, write) : textLines(options.level, write);
  const at =
    (level: LogLevel) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
      if (told.isOn(level)) told.write(level, redact(message), redactFields(withErrorsTold(fields)));
    };
  return { debug: at('debug'), info: at('info'), warning: at('warning'), error: at('error') };
}

interface Lines {
  isOn(level: LogLevel): boolean;
  write(level: LogLevel, message: string, fields: Readonly<Record<string, unknown>>): void;
}

function jsonLines(least: LogLevel, write: (line: string) => void): Lines {
  const nameOf = (level: LogLevel) => (level === 'warning' ? 'warn' : level);
  const logger = pino(
    {
      level: nameOf(least),
      base: null,
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label === 'warn' ? 'warning' : label }) },
    },
    { write: (line: string) => write(escapeInJson(line)) },
  );
  return {
    isOn: (level) => logger.isLevelEnabled(nameOf(level)),
    write: (level, message, fields) => logger[nameOf(level)](fields, message),
  };
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warning', 'error'];

/** `12:00:01 warning The engine ended  pid=12 code=1`. */
function textLines(least: LogLevel, write: (line: string) => void): Lines {
  const from = LEVELS.indexOf(least);
  return {
    isOn: (level) => LEVELS.indexOf(level) >= from,
    write(level, message, fields) {
      let line = `${new Date().toISOString().slice(11, 19)} ${level.padEnd(7)} ${escapeLine(message)}`;
      for (const [name, value] of Object.entries(fields)) {
        const text = value === null ? undefined : typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value);
        if (text !== undefined) line += `  ${escapeLine(`${name}=${text}`)}`;
      }
      write(`${line}\n`);
    },
  };
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
