import type { Finding } from '../../../app/index.ts';
import { endpoints } from '../../../contract/index.ts';
import { isHearthError } from '../../../core/index.ts';
import { defineCommand, flag } from '../../command.ts';
import type { Context } from '../../context.ts';
import { plain } from '../../render/plain.ts';

const MARKS = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const;

export const doctorCommand = defineCommand({
  name: 'doctor',
  group: 'Stack',
  summary: 'Find what is wrong: Node, configuration, home, disks, memory, sandbox, limits, daemon, engines, trust, audit log',
  arguments: [],
  options: { fix: flag('close files and directories of the home to other users') },
  async run(context, _args, { fix }) {
    const { doctor } = await import('../../../app/index.ts');
    const { checkDependencyState, checkHome, checkMachine, checkOpenFiles, checkProtection, hasStaleSocket } = await doctor();
    const findings: Finding[] = [nodeVersion()];
    const home = checkHome(context.home, fix);
    findings.push(...home.findings);
    const configuration = await context.loadConfig().catch((error: unknown) => error);
    if (configuration instanceof Error) {
      if (!isHearthError(configuration)) throw configuration;
      findings.push({ id: 'config', severity: 'fail', message: configuration.message, fix: configuration.row.hint });
    } else {
      const { config } = configuration as Awaited<ReturnType<Context['loadConfig']>>;
      findings.push({ id: 'config', severity: 'ok', message: 'The configuration is valid.', fix: null });
      findings.push(...(await checkProtection(config.security.sandbox, context.env)), checkOpenFiles(), checkDependencyState(context.home, Date.now()));
      findings.push(...(await checkMachine({ ...context, config })));
      findings.push(...(await askProduct(context, hasStaleSocket(context.home, context.env))));
    }
    return { data: { findings, repaired: home.repaired }, exitCode: findings.some(({ severity }) => severity === 'fail') ? 1 : 0 };
  },
  render: ({ findings }) =>
    [
      ...findings.map(
        ({ id, severity, message, fix }) =>
          `${MARKS[severity]}  ${id.padEnd(14)} ${plain(message)}${fix === null ? '' : `\n      ${' '.repeat(14)} → ${plain(fix)}`}`,
      ),
      '',
      summaryOf(findings),
    ].join('\n'),
});

function nodeVersion(): Finding {
  return { id: 'node', severity: 'ok', message: `Node ${process.versions.node}.`, fix: null };
}

function summaryOf(findings: readonly Finding[]): string {
  const count = (severity: Finding['severity']): number => findings.filter((finding) => finding.severity === severity).length;
  const [warnings, failures] = [count('warn'), count('fail')];
  if (warnings + failures === 0) return 'All is well.';
  return [failures > 0 ? `${failures} failed` : '', warnings > 0 ? `${warnings} warning${warnings === 1 ? '' : 's'}` : ''].filter(Boolean).join(', ');
}

/** What the daemon knows, or this process where none runs. */
async function askProduct(context: Context, staleSocket: boolean): Promise<Finding[]> {
  const asked: readonly [id: string, ask: () => Promise<Finding>][] = [
    ['daemon', () => daemonFinding(context, staleSocket)],
    ['engines', () => enginesFinding(context)],
    ['trust', () => trustFinding(context)],
    ['audit', () => auditFinding(context)],
  ];
  const findings: Finding[] = [];
  for (const [id, ask] of asked)
    findings.push(
      await ask().catch((error: unknown) => {
        if (context.signal.aborted) throw error;
        return {
          id,
          severity: 'fail' as const,
          message: (error as Error).message,
          fix: isHearthError(error) ? error.row.hint : '`hearth logs hearthd` may tell more.',
        };
      }),
    );
  return findings;
}

async function daemonFinding(context: Context, socketThere: boolean): Promise<Finding> {
  const found = await context.findDaemon({ anyVersion: true });
  if (found === null && socketThere)
    return { id: 'daemon', severity: 'warn', message: 'No daemon answers, but the socket of one is left.', fix: '`hearth up` removes it and starts anew.' };
  if (found === null) return { id: 'daemon', severity: 'ok', message: 'No daemon runs; `hearth up` starts one.', fix: null };
  const status = await found.client.call(endpoints.status, {}, { signal: context.signal });
  if (status.version !== context.version)
    return {
      id: 'daemon',
      severity: 'warn',
      message: `The daemon is hearth ${status.version}, and this is ${context.version}.`,
      fix: '`hearth down --daemon`, then `hearth up`.',
    };
  if (status.weakened.length > 0)
    return {
      id: 'daemon',
      severity: 'warn',
      message: `The running daemon is weakened: ${status.weakened.join(', ')}.`,
      fix: '`hearth down --daemon`, then `hearth up`.',
    };
  return { id: 'daemon', severity: 'ok', message: `It runs (pid ${status.pid}), on ${status.listeners.join(', ')}.`, fix: null };
}

async function enginesFinding(context: Context): Promise<Finding> {
  const { client } = await context.connect();
  const { engines } = await client.call(endpoints.engines, {}, { signal: context.signal });
  const told = engines.map(({ id, version, state }) => `${id}${version === null ? '' : ` ${version}`} ${state}`).join(', ');
  const wrong = engines.find(({ state }) => state === 'tampered') ?? engines.find(({ state }) => state === 'outdated');
  return wrong === undefined
    ? { id: 'engines', severity: 'ok', message: `${told}.`, fix: null }
    : { id: 'engines', severity: wrong.state === 'tampered' ? 'fail' : 'warn', message: `${told}.`, fix: wrong.fix ?? `\`hearth engines verify ${wrong.id}\`` };
}

async function trustFinding(context: Context): Promise<Finding> {
  const { client } = await context.connect();
  const { mode, builtIn } = await client.call(endpoints.trustPolicy, {}, { signal: context.signal });
  const rules = builtIn ? 'with the rules that every home begins with' : 'with your own rules';
  return mode === 'enforce'
    ? { id: 'trust', severity: 'ok', message: `Models are checked before each load, ${rules}.`, fix: null }
    : {
        id: 'trust',
        severity: 'warn',
        message: `The trust mode is ${mode}: models that fail a check are loaded all the same.`,
        fix: '`hearth trust mode enforce`',
      };
}

async function auditFinding(context: Context): Promise<Finding> {
  const { client } = await context.connect();
  const { ok, lines, faults } = await client.call(endpoints.auditVerify, {}, { signal: context.signal });
  return ok
    ? { id: 'audit', severity: 'ok', message: `The event log is whole (${lines} line${lines === 1 ? '' : 's'}).`, fix: null }
    : {
        id: 'audit',
        severity: 'fail',
        message: `The event log was changed: ${faults[0]?.message ?? 'its chain does not hold'}`,
        fix: '`hearth audit verify` names each place.',
      };
}
