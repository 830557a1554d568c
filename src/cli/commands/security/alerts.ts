import { z } from 'zod';
import { type AlertListJson, endpoints } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { type Command, defineCommand, flag, option } from '../../command.ts';
import { printable } from '../../render/plain.ts';
import { table } from '../../render/table.ts';

const day = (text: string): string => text.replace('T', ' ').slice(0, 16);

const alerts = defineCommand({
  name: 'audit alerts',
  group: 'Security',
  summary: 'Show alerts that nobody has acknowledged, silences, and sinks that fail',
  arguments: [],
  options: { all: flag('acknowledged ones too') },
  async run(context, _args, { all }) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.alerts, { query: all ? { all: 'true' } : {} }, { signal: context.signal }) };
  },
  render: alertsText,
});

function alertsText({ alerts, silences, sinks }: AlertListJson): string {
  const failing = sinks.filter(({ failing }) => failing !== null);
  return [
    ...(alerts.length === 0
      ? ['There are no open alerts.']
      : [
          table(
            [{ title: 'Id' }, { title: 'Rule' }, { title: 'Severity' }, { title: 'Last' }, { title: 'Count', align: 'right' }, { title: 'What' }],
            alerts.map(({ id, rule, severity, lastAt, count, message, acknowledged }) => [
              id,
              rule,
              severity,
              day(lastAt),
              String(count),
              printable(acknowledged === null ? message : `${message} (acknowledged by ${acknowledged.by})`),
            ]),
          ),
          ...(alerts.some(({ acknowledged }) => acknowledged === null) ? ['', '`hearth audit ack ID` says that you have seen one.'] : []),
        ]),
    ...silences.map(
      ({ id, rule, subject, until, reason }) =>
        `Silent: ${rule}${subject === null ? '' : ` about ${printable(subject)}`} until ${day(until)} UTC${reason === null ? '' : ` (${printable(reason)})`}; id ${id}`,
    ),
    ...failing.map(
      ({ name, failing, dead, dropped }) =>
        `The sink ${name} ${dead ? 'is dead' : 'fails'}: ${printable(failing ?? '')}${dropped === 0 ? '' : `; ${dropped} alerts were lost`}`,
    ),
  ].join('\n');
}

const acknowledge = defineCommand({
  name: 'audit ack',
  group: 'Security',
  summary: 'Acknowledge an alert',
  arguments: [{ name: 'id', schema: z.string().describe('the id of an alert; `hearth audit alerts` shows them') }],
  options: {},
  async run(context, args: { id: string }) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.acknowledgeAlert, { params: { id: args.id } }, { signal: context.signal }) };
  },
  render: ({ alert: { id, rule, message } }) => printable(`Acknowledged ${id} (${rule}): ${message}`),
});

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const silence = defineCommand({
  name: 'audit silence',
  group: 'Security',
  summary: 'Tell nobody of the alerts of a rule for a while; the log still has them',
  arguments: [{ name: 'rule', schema: z.string().describe('R1 … R12; with --end the id of a silence') }],
  options: {
    for: option(z.string().optional(), 'how long: 30m, 2h, 1d, at most 30d (default 1h)', { value: '<time>' }),
    subject: option(z.string().min(1).optional(), 'only alerts about this', { value: '<text>' }),
    reason: option(z.string().min(1).max(500).optional(), 'why, for the log', { value: '<text>' }),
    end: flag('end a silence now'),
  },
  async run(context, args: { rule: string }, given): Promise<{ data: { readonly ended?: string; readonly silence?: AlertListJson['silences'][number] } }> {
    const signal = { signal: context.signal };
    if (given.end) {
      const { client } = await context.connect();
      const { id } = await client.call(endpoints.endSilence, { params: { id: args.rule } }, signal);
      return { data: { ended: id } };
    }
    const [, count, unit] = /^([1-9]\d{0,4})([mhd])$/.exec(given.for ?? '1h') ?? [];
    if (count === undefined) throw new HearthError('usage', `--for ${given.for} is no time such as 30m, 2h or 1d.`);
    const rule = endpoints.silenceAlerts.body.shape.rule.safeParse(args.rule.toUpperCase());
    if (!rule.success) throw new HearthError('usage', `There is no rule ${args.rule}; \`hearth audit detect\` lists them.`);
    const until = new Date(Date.now() + Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS]).toISOString();
    const { client } = await context.connect();
    const body = { rule: rule.data, until, subject: given.subject ?? null, reason: given.reason ?? null };
    return { data: await client.call(endpoints.silenceAlerts, { body }, signal) };
  },
  render: ({ ended, silence }) =>
    silence === undefined
      ? `The silence ${ended ?? ''} is over.`
      : `Nobody is told of ${silence.rule} until ${day(silence.until)} UTC. \`hearth audit silence ${silence.id} --end\` ends that.`,
});

const detect = defineCommand({
  name: 'audit detect',
  group: 'Security',
  summary: 'List the rules of detection, or measure the injection score',
  arguments: [],
  options: { evaluate: flag('precision and recall of the injection score on the labelled texts that come with hearth') },
  async run(_context, _args, { evaluate }) {
    const { detection } = await import('../../../app/index.ts');
    const { rules, evaluation } = await detection();
    return { data: { rules: evaluate ? [] : rules, evaluation: evaluate ? evaluation() : null } };
  },
  render({ rules, evaluation }) {
    if (evaluation === null)
      return table(
        [{ title: 'Rule' }, { title: 'Severity' }, { title: 'What' }],
        rules.map(({ id, severity, title }) => [id, severity, title]),
      );
    const share = (value: number | null) => (value === null ? '-' : value.toFixed(3));
    const rows = (name: string, of: typeof evaluation.heldOut) =>
      of.map(({ threshold, precision, recall, truePositives, falsePositives, falseNegatives, trueNegatives }) => [
        name,
        `≥ ${threshold}`,
        share(precision),
        share(recall),
        ...[truePositives, falseNegatives, falsePositives, trueNegatives].map(String),
      ]);
    const right = ['Precision', 'Recall', 'Found', 'Missed', 'False alarms', 'Right to pass'].map((title) => ({ title, align: 'right' as const }));
    return [
      table([{ title: 'Texts' }, { title: 'Score' }, ...right], [...rows('held out', evaluation.heldOut), ...rows('tuned on', evaluation.training)]),
      '',
      `${evaluation.languages.length} languages: ${evaluation.languages.join(', ')}. An alert is raised from ${evaluation.threshold} on. The texts are our own, and few: others will fare worse.`,
    ].join('\n');
  },
});

export const ALERT_COMMANDS: readonly Command[] = [alerts, acknowledge, silence, detect];
