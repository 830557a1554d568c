import type { ProcessSpec } from '../process-spec.ts';
import type { Cage } from './cage.ts';

/** Read by every program of macOS before its first line: the dynamic linker, frameworks, locales. */
const SYSTEM = ['/System', '/usr/lib', '/usr/share', '/Library/Apple', '/private/var/db/dyld', '/private/var/db/timezone', '/private/etc/localtime', '/dev'];

/** macOS: a profile of the Seatbelt sandbox around the program. The text is tested; it has not been run on a Mac by its authors. */
export const createSandboxExec = (program: string): Cage => ({
  kind: 'sandbox-exec',
  strength: 'strong',
  detail: 'no network, no home, read-only files of its model and program',
  reason: null,
  outer: null,
  nested: false,
  wrap: (argv, spec) => ({ argv: [program, '-p', sandboxProfile(argv[0], spec), ...argv] }),
});

/** Denies by default. Paths are quoted as Scheme strings; later rules win. */
export function sandboxProfile(command: string, spec: Pick<ProcessSpec, 'readPaths' | 'writePaths' | 'devices'>): string {
  const below = (paths: readonly string[]): string => paths.map((path) => `(subpath ${quoted(path)})`).join(' ');
  return [
    '(version 1)',
    '(deny default)',
    '(deny network*)',
    `(allow process-exec (literal ${quoted(command)}))`,
    '(allow process-info* (target self))',
    '(allow signal (target self))',
    '(allow sysctl-read)',
    '(allow file-read-metadata)',
    `(allow file-read* (literal "/") (literal ${quoted(command)}) ${below([...SYSTEM, ...spec.readPaths, ...spec.writePaths])})`,
    '(allow file-map-executable)',
    '(allow file-write-data (literal "/dev/null") (literal "/dev/dtracehelper"))',
    ...(spec.writePaths.length === 0 ? [] : [`(allow file-write* ${below(spec.writePaths)})`]),
    ...(spec.devices === 'gpu' ? ['(allow iokit-open)', '(allow mach-lookup (global-name "com.apple.MTLCompilerService"))'] : []),
  ].join('\n');
}

const quoted = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
