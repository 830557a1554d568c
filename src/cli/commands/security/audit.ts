import { z } from 'zod';
import { type AuditLineJson, type AuditReviewJson, type AuditVerificationJson, endpoints } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { type Command, defineCommand, flag, option } from '../../command.ts';
import { printable } from '../../render/plain.ts';
import { table } from '../../render/table.ts';

const verify = defineCommand({
  name: 'audit verify',
  group: 'Security',
  summary: 'Check that the security log is as it was written',
  arguments: [],
  options: {
    key: option(z.string().optional(), 'fingerprint of the audit key as you noted it earlier; another key is a finding', { value: '<hex>' }),
  },
  async run(context, _args, given) {
    const wanted = given.key?.toLowerCase();
    if (wanted !== undefined && !/^[0-9a-f]{64}$/.test(wanted))
      throw new HearthError('usage', '--key takes the 64 hexadecimal digits that `hearth audit verify` prints.');
    const { client } = await context.connect();
    const report = await client.call(endpoints.auditVerify, {}, { signal: context.signal });
    const data = wanted === undefined || report.keyFingerprint === wanted ? report : withOtherKey(report);
    return { data, ...(data.ok ? {} : { exitCode: 1 }) };
  },
  render: verificationText,
});

const withOtherKey = (report: AuditVerificationJson): AuditVerificationJson => ({
  ...report,
  ok: false,
  faults: [
    ...report.faults,
    { code: 'file_replaced', seq: 1, file: null, byte: null, message: 'The log is signed with another key than yours: all of it was replaced.' },
  ],
});

function verificationText({ ok, lines, files, firstSeq, lastSeq, head, signedThroughSeq, keyFingerprint, gaps, faults }: AuditVerificationJson): string {
  if (lines === 0 && ok) return 'The security log is empty: nothing has happened yet.';
  const facts = [
    `Lines      ${firstSeq ?? 0}–${lastSeq ?? 0} in ${files} ${files === 1 ? 'file' : 'files'}`,
    `Signed     ${signedThroughSeq === null ? 'nothing yet' : `through line ${signedThroughSeq}`}`,
    `Head       ${head ?? 'none'}`,
    `Audit key  ${keyFingerprint ?? 'none'}`,
    ...gaps.map(({ file, from, to }) => `A crash left part of a line in ${file}, bytes ${from}–${to}; the log tells it itself.`),
  ];
  const verdict = ok
    ? 'The security log is whole.'
    : `The security log is not as it was written: ${faults.length} ${faults.length === 1 ? 'finding' : 'findings'}.`;
  const found = faults.map(
    ({ code, message, file, byte }) => `  ${code}: ${message}${file === null ? '' : ` (${file}${byte === null ? '' : `, byte ${byte}`})`}`,
  );
  return [verdict, ...found, ...facts].map(printable).join('\n');
}

const tail = defineCommand({
  name: 'audit tail',
  group: 'Security',
  summary: 'Show the last security events',
  arguments: [],
  options: {
    lines: option(
      z
        .string()
        .regex(/^\d{1,4}$/, { error: 'must be a whole number up to 9999' })
        .default('20'),
      'how many',
      { short: 'n', value: '<n>' },
    ),
    follow: flag('go on with events as they come, until Ctrl-C', { short: 'f' }),
  },
  async run(context, _args, { lines, follow }): Promise<{ data: { lines: readonly AuditLineJson[] }; silent?: boolean }> {
    const { client } = await context.connect();
    if (!follow) return { data: await client.call(endpoints.auditTail, { query: { lines } }, { signal: context.signal }) };
    if (context.common.json) throw new HearthError('usage', '`--json` prints one document; a log that is followed has no end.');
    try {
      const events = client.stream(endpoints.auditTail, { query: { lines, follow: 'true' } }, { signal: context.signal });
      for await (const line of events) context.output.text(`${lineText(line)}\n`);
    } catch (error) {
      // Ctrl-C is how following ends.
      if (!context.signal.aborted) throw error;
    }
    return { data: { lines: [] }, silent: true };
  },
  render: ({ lines }) => (lines.length === 0 ? 'There are no security events yet.' : lines.map(lineText).join('\n')),
});

function lineText({ seq, ts, severity, event, outcome, reason, model, actor, details }: AuditLineJson): string {
  const about = [
    model?.id,
    reason,
    actor === null ? null : [actor.key, actor.ip].filter(Boolean).join('@'),
    details === null || event === 'audit.checkpoint' ? null : JSON.stringify(details),
  ].filter((text) => typeof text === 'string' && text !== '');
  return printable(
    `${String(seq).padStart(6)}  ${ts.replace('T', ' ').slice(0, 19)}  ${severity.padEnd(8)}  ${event} ${outcome}  ${about.join('  ')}`.trimEnd(),
  );
}

const exportLog = defineCommand({
  name: 'audit export',
  group: 'Security',
  summary: 'Print the security log as JSON lines',
  arguments: [],
  options: {
    since: option(z.string().optional(), 'only from then on: 24h, 7d, or a time such as 2027-01-31', { value: '<when>' }),
    until: option(z.string().optional(), 'only before then', { value: '<when>' }),
  },
  async run(context, _args, { since, until }) {
    const query = { ...(since === undefined ? {} : { since: timeOf(since, 'since') }), ...(until === undefined ? {} : { until: timeOf(until, 'until') }) };
    const { client } = await context.connect();
    const lines: AuditLineJson[] = [];
    for await (const line of client.stream(endpoints.auditExport, { query }, { signal: context.signal })) {
      if (context.common.json) lines.push(line);
      // One line of JSON, as it stands in the file.
      else context.output.text(`${JSON.stringify(line)}\n`);
    }
    return context.common.json ? { data: { lines } } : { data: { lines }, silent: true };
  },
});

const review = defineCommand({
  name: 'audit review',
  group: 'Security',
  summary: 'Sum up what happened: events, what is new, refusals, open alerts, weakened settings',
  arguments: [],
  options: {
    since: option(z.string().default('7d'), 'from when: 24h, 7d, `all`, or a time such as 2027-01-31', { value: '<when>' }),
    sign: option(z.string().min(1).max(100).optional(), 'write into the log that you have read this', { value: '<name>' }),
  },
  async run(context, _args, { since, sign }) {
    const from = since === 'all' ? {} : { since: timeOf(since, 'since') };
    const { client } = await context.connect();
    const signal = { signal: context.signal };
    const data: SignedReview =
      sign === undefined
        ? { review: await client.call(endpoints.auditReview, { query: from }, signal), digest: null, seq: null }
        : await client.call(endpoints.auditSignReview, { body: { ...from, name: sign } }, signal);
    return { data: { ...data.review, signed: sign === undefined ? null : { name: sign, digest: data.digest, seq: data.seq } } };
  },
  render: reviewText,
});

interface SignedReview {
  readonly review: AuditReviewJson;
  readonly digest: string | null;
  readonly seq: number | null;
}

type ReviewData = AuditReviewJson & { readonly signed: { readonly name: string; readonly digest: string | null; readonly seq: number | null } | null };

function reviewText(data: ReviewData): string {
  const { since, until, lines, omitted, bySeverity, byEvent, rejections, openAlerts, weakened, chain, lastSignedBy, signed } = data;
  const day = (text: string) => text.replace('T', ' ').slice(0, 16);
  const list = (title: string, items: readonly string[]) => (items.length === 0 ? [] : ['', title, ...items.map((item) => `  ${printable(item)}`)]);
  const counts = (Object.entries(bySeverity) as [string, number][]).map(([name, count]) => `${count} ${name}`).join(', ');
  return [
    `Security events ${since === null ? 'of the whole log' : `since ${day(since)}`}, until ${day(until)} UTC: ${lines}${omitted === 0 ? '' : `, and ${omitted} that were only counted`}`,
    `By severity: ${counts}`,
    chain.ok
      ? `The log is whole (line ${chain.lastSeq ?? 0}).`
      : `THE LOG IS NOT AS IT WAS WRITTEN: ${chain.faults[0]?.message ?? ''} \`hearth audit verify\` tells more.`,
    lastSignedBy === null ? 'Nobody has signed a review yet.' : `The last review was signed by ${printable(lastSignedBy.name)} at ${day(lastSignedBy.at)}.`,
    ...(lines === 0
      ? []
      : [
          '',
          table(
            [{ title: 'Event' }, { title: 'Count', align: 'right' }],
            Object.entries(byEvent)
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([name, count]) => [name, String(count)]),
          ),
        ]),
    ...list('Models seen for the first time', data.newModels),
    ...list('Sources seen for the first time', data.newSources),
    ...list('Addresses opened for the first time', data.newListeners),
    ...list(
      'Most frequent refusals',
      rejections.map(({ event, reason, count }) => `${count} × ${event}: ${reason}`),
    ),
    ...list(
      'Alerts that nobody has acknowledged',
      openAlerts.map(({ seq, at, severity, reason }) => `${severity} ${reason}, line ${seq}, ${day(at)}`),
    ),
    ...list(
      'Weakened settings',
      weakened.map(({ event, reason, count, last }) => `${event}${reason === 'none' ? '' : ` (${reason})`}: ${count} ×, last ${day(last)}`),
    ),
    ...(signed === null
      ? []
      : [
          '',
          signed.seq === null
            ? 'The signature could not be written into the log.'
            : `Signed by ${printable(signed.name)}: line ${signed.seq}, digest ${signed.digest}.`,
        ]),
  ].join('\n');
}

export const AUDIT_COMMANDS: readonly Command[] = [review, tail, verify, exportLog];

const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `24h` is that long ago; a date alone begins at midnight UTC. */
function timeOf(text: string, name: string): string {
  const [, count, unit] = /^([1-9]\d{0,4})([mhd])$/.exec(text) ?? [];
  const at =
    count === undefined ? Date.parse(/^\d{4}-\d\d-\d\d(T.+)?$/.test(text) ? text : 'no date') : Date.now() - Number(count) * UNIT_MS[unit as 'm' | 'h' | 'd'];
  if (Number.isNaN(at)) throw new HearthError('usage', `--${name} ${text} is neither a time ago such as 24h or 7d nor a date such as 2027-01-31.`);
  return new Date(at).toISOString();
}
