import { constants } from 'node:fs';
import { open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { checkManagedFile, escapeLine, type Logger, makePrivateDirectory } from '../../../core/index.ts';
import { type AlertSink, messageJson, type SinkMessage } from './sink.ts';

const LARGEST_FILE = 10 * 1024 * 1024;

/** Appends lines of JSON to a file for its owner alone; one older file is kept. */
export function createFileSink(path: string): AlertSink {
  return {
    name: 'file',
    perMinute: 600,
    async send(message) {
      await makePrivateDirectory(dirname(path));
      const exists = checkManagedFile(path);
      if (exists && (await stat(path)).size >= LARGEST_FILE) await rename(path, `${path}.1`);
      const file = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
      try {
        await file.appendFile(`${messageJson(message)}\n`);
      } finally {
        await file.close();
      }
    },
  };
}

/** The log of the process. */
export function createLogSink(logger: Logger): AlertSink {
  return {
    name: 'stderr',
    perMinute: 600,
    async send({ alert: { id, rule, severity, message, count }, cause }) {
      logger[severity === 'info' || severity === 'low' ? 'info' : 'warning']('security-alert', { alert: id, rule, severity, cause, count, text: message });
    },
  };
}

/** Runs a program to its end; throws where it cannot be started or ends with another code than 0. Injected: processes are app's. */
export type RunProgram = (argv: readonly string[], environment: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<void>;

/** The user's own program, without a shell: the message is in its environment, whole in HEARTH_ALERT. */
export function createCommandSink(argv: readonly string[], run: RunProgram): AlertSink {
  return {
    name: 'command',
    perMinute: 10,
    async send(message, signal) {
      const { id, rule, severity, subject } = message.alert;
      await run(
        argv,
        {
          HEARTH_ALERT: messageJson(message),
          HEARTH_ALERT_ID: id,
          HEARTH_ALERT_RULE: rule,
          HEARTH_ALERT_SEVERITY: severity,
          HEARTH_ALERT_SUBJECT: plain(subject),
        },
        signal,
      );
    },
  };
}

/** A notification on the desktop of this user. */
export function createDesktopSink(platform: NodeJS.Platform, run: RunProgram): AlertSink {
  return {
    name: 'desktop',
    perMinute: 10,
    send: (message, signal) => run(desktopArgv(platform, message), {}, signal),
  };
}

/** What an attacker wrote must not become an option, a line of a script or markup. */
function desktopArgv(platform: NodeJS.Platform, { alert: { rule, severity, message } }: SinkMessage): readonly string[] {
  const title = `hearth: ${severity} alert ${rule}`;
  const text = plain(message).slice(0, 300);
  if (platform === 'darwin')
    return [
      '/usr/bin/osascript',
      '-e',
      'on run argv',
      '-e',
      'display notification (item 2 of argv) with title (item 1 of argv)',
      '-e',
      'end run',
      '--',
      title,
      text,
    ];
  const markup = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return ['notify-send', '--app-name=hearth', `--urgency=${severity === 'critical' || severity === 'high' ? 'critical' : 'normal'}`, '--', title, markup];
}

const plain = (text: string): string => escapeLine(text).replaceAll(/\s+/g, ' ');
