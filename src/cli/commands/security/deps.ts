import { z } from 'zod';
import type { DependencyFindingJson, DependencyReportJson } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { type Command, defineCommand, flag } from '../../command.ts';
import { plain } from '../../render/plain.ts';
import { table } from '../../render/table.ts';

const check = defineCommand({
  name: 'deps check',
  group: 'Security',
  summary: 'Compare what hearth is made of, or other locks, with known vulnerabilities; exits with 1 when one counts',
  arguments: [
    {
      name: 'locks',
      schema: z
        .array(z.string())
        .optional()
        .describe('package-lock.json, requirements with ==, pylock.toml, uv.lock, poetry.lock (default: those of hearth itself)'),
    },
  ],
  options: {
    offline: flag('use the database on this disk; nothing leaves the machine (default)'),
    online: flag('ask the OSV service: names and versions of the packages are sent to it'),
  },
  async run(context, args: { locks?: readonly string[] }, { offline, online }) {
    if (offline && online) throw new HearthError('usage', '--offline and --online exclude each other.');
    const { dependencies } = await import('../../../app/index.ts');
    const { config } = await context.loadConfig();
    const { checkLocks, checkOwnDependencies } = await dependencies();
    const places = { home: context.home, cwd: context.cwd, failOn: config.deps.failOn, nowMs: Date.now(), signal: context.signal, online };
    const { locks = [] } = args;
    const data = locks.length === 0 ? await checkOwnDependencies(places) : await checkLocks(places, locks);
    return { data, ...(data.ok ? {} : { exitCode: 1 }) };
  },
  render: reportText,
});

function reportText({ ok, packages, locks, database, findings, faults, source }: DependencyReportJson): string {
  const rows = findings.map((each) => [severityText(each), each.id, `${each.package} ${each.version}`, each.fixedIn ?? '-', noteOf(each)].map(plain));
  const known = database.map(({ ecosystem, records, newest }) => `${ecosystem}: ${records} records until ${newest.slice(0, 10)}`).join(', ');
  const missing = faults.some(({ code }) => code === 'database_missing' || code === 'database_stale');
  return [
    ...(rows.length === 0 ? [] : [table([{ title: 'Severity' }, { title: 'Id' }, { title: 'Package' }, { title: 'Fixed in' }, { title: '' }], rows), '']),
    `${packages} packages of ${locks.length} ${locks.length === 1 ? 'lock' : 'locks'}: ${
      findings.length === 0 ? 'no known vulnerability' : `${findings.length} known ${findings.length === 1 ? 'vulnerability' : 'vulnerabilities'}`
    }${source === 'online' ? ', as the OSV service tells now' : known === '' ? '' : ` (${known})`}.`,
    ...faults.map(({ code, message }) => plain(`- ${message} [${code}]`)),
    ...(missing
      ? ['Fetch `npm/all.zip` and `PyPI/all.zip` of the OSV database (osv.dev, data exports), then `hearth deps update FILE...`. Or `--online`.']
      : []),
    ok ? 'The check passed.' : 'The check did NOT pass.',
  ].join('\n');
}

const severityText = ({ severity, malicious }: DependencyFindingJson): string => (malicious ? 'MALICIOUS' : (severity ?? 'unknown'));

const noteOf = ({ exception, counts, summary }: DependencyFindingJson): string =>
  exception === null
    ? `${counts ? '' : 'does not count: '}${summary.slice(0, 60)}`
    : exception.expired
      ? `the exception ended on ${exception.expires}`
      : `excepted until ${exception.expires}: ${exception.reason}`;

const update = defineCommand({
  name: 'deps update',
  group: 'Security',
  summary: 'Import exports of the OSV vulnerability database, such as npm/all.zip',
  arguments: [{ name: 'archives', schema: z.array(z.string()).min(1, { error: 'name at least one archive' }).describe('all.zip of an ecosystem') }],
  options: {},
  async run(context, args: { archives: readonly string[] }) {
    const { dependencies } = await import('../../../app/index.ts');
    const { updateVulnerabilities } = await dependencies();
    const data = await updateVulnerabilities({ home: context.home, cwd: context.cwd, signal: context.signal }, args.archives, () => {});
    return { data };
  },
  render: ({ imported }) =>
    imported
      .flatMap(({ file, ecosystems, withdrawn }) =>
        ecosystems.map(({ ecosystem, records, newest }) =>
          plain(`${file}: ${records} records of ${ecosystem}, the newest of ${newest.slice(0, 10)}${withdrawn === 0 ? '' : `; ${withdrawn} withdrawn`}.`),
        ),
      )
      .join('\n'),
});

export const DEPENDENCY_COMMANDS: readonly Command[] = [check, update];
