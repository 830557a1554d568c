import { z } from 'zod';
import { endpoints, type TrustExplanation, type TrustReply } from '../../../contract/index.ts';
import { type Command, defineCommand, flag, option } from '../../command.ts';
import type { Context } from '../../context.ts';
import { isPath, modelReference } from '../../generate/inspect-model.ts';
import { plain } from '../../render/plain.ts';
import { formatSize } from '../../render/size.ts';
import { table } from '../../render/table.ts';

const model = { name: 'model', schema: z.string().describe('name, part of a name, NAME@REVISION, or a path') };
const signalOf = ({ signal }: Context) => ({ signal });

const list = defineCommand({
  name: 'trust list',
  group: 'Security',
  summary: 'Show the trust policy: the mode, the rules, pins and what was revoked',
  arguments: [],
  options: {},
  async run(context) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.trustPolicy, {}, signalOf(context)) };
  },
  render: policyText,
});

const REQUIRE = ['signature', 'pinned-hash', 'tofu', 'gates', 'deny'] as const;

const add = defineCommand({
  name: 'trust add',
  group: 'Security',
  summary: 'Add a rule for models: what they need to be loaded',
  arguments: [{ name: 'models', schema: z.string().describe('glob of names such as `org/*`; a path for directories') }],
  options: {
    require: option(
      z.enum(REQUIRE, { error: `must be one of ${REQUIRE.join(', ')}` }).default('signature'),
      'signature: signed by a trusted key; pinned-hash, tofu: as it was first seen; gates: looked at only; deny: never',
      { value: '<what>' },
    ),
    key: option(z.array(z.string()).optional(), 'id of a key; only its signatures count', { value: '<id...>', repeatable: true }),
    format: option(z.array(z.enum(['safetensors', 'gguf'])).optional(), 'only weights of this form', { value: '<form...>', repeatable: true }),
    maxGb: option(z.coerce.number().positive().optional(), 'largest size of a model', { value: '<gigabytes>' }),
    workspace: flag('the names are those of workspaces in the workspace home'),
  },
  async run(context, args: { models: string }, given) {
    const { client } = await context.connect();
    const path = isPath(args.models);
    const body = {
      type: path ? ('path' as const) : given.workspace ? ('workspace' as const) : ('hub' as const),
      name: path ? modelReference(context, args.models) : args.models,
      require: given.require,
      ...(given.key === undefined ? {} : { keys: await wholeIds(context, given.key) }),
      ...(given.format === undefined ? {} : { formats: given.format }),
      ...(given.maxGb === undefined ? {} : { maxBytes: Math.floor(given.maxGb * 1e9) }),
    };
    return { data: await client.call(endpoints.trustAddSource, { body }, signalOf(context)) };
  },
  render: policyText,
});

const remove = defineCommand({
  name: 'trust remove',
  group: 'Security',
  summary: 'Take a rule out of the trust policy',
  arguments: [
    {
      name: 'number',
      schema: z
        .string()
        .regex(/^[1-9]\d{0,3}$/, { error: 'must be the number of a rule' })
        .describe('as `hearth trust list` counts them'),
    },
  ],
  options: {},
  async run(context, args: { number: string }) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.trustRemoveSource, { params: { position: args.number } }, signalOf(context)) };
  },
  render: policyText,
});

const mode = defineCommand({
  name: 'trust mode',
  group: 'Security',
  summary: 'Refuse models that break the policy, only warn, or check nothing',
  arguments: [{ name: 'mode', schema: z.enum(['enforce', 'warn', 'off'], { error: 'must be enforce, warn or off' }).describe('enforce, warn or off') }],
  options: {},
  async run(context, args: { mode: 'enforce' | 'warn' | 'off' }) {
    const { client } = await context.connect();
    if (args.mode !== 'enforce')
      context.output.notice(
        `From now on models that break the policy are loaded${args.mode === 'off' ? ' unseen' : ' with a warning'}; \`hearth status\` shows it.`,
      );
    return { data: await client.call(endpoints.trustMode, { body: { mode: args.mode } }, signalOf(context)) };
  },
  render: ({ mode: now }) => `The trust mode is ${now}.`,
});

const seal = defineCommand({
  name: 'trust seal',
  group: 'Security',
  summary: 'Accept the policy file as you edited it by hand',
  arguments: [],
  options: {},
  async run(context) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.trustSeal, {}, signalOf(context)) };
  },
  render: policyText,
});

const accept = defineCommand({
  name: 'trust accept',
  group: 'Security',
  summary: 'Take the content that a model has now as the right one',
  arguments: [model],
  options: {},
  async run(context, args: { model: string }) {
    const { client } = await context.connect();
    const data = await client.call(endpoints.trustAccept, { body: { model: modelReference(context, args.model) } }, signalOf(context));
    return { data, ...(data.decision === 'refused' ? { exitCode: 1 } : {}) };
  },
  render: (data) => `${data.decision === 'refused' ? 'Not accepted.' : `Accepted ${plain(data.model)} as it is.`}\n\n${explanationText(data)}`,
});

const explain = defineCommand({
  name: 'trust explain',
  group: 'Security',
  summary: 'Say which rule decides about a model, and why it is or is not loaded',
  arguments: [model],
  options: {},
  async run(context, args: { model: string }) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.trustExplain, { body: { model: modelReference(context, args.model) } }, signalOf(context)) };
  },
  render: explanationText,
});

const revoke = defineCommand({
  name: 'trust revoke',
  group: 'Security',
  summary: 'Never load this content again, whoever signed it',
  arguments: [{ name: 'model', schema: z.string().describe('a model that is here, or the root digest of one (64 hex digits)') }],
  options: { reason: option(z.string().min(1).max(500).default('revoked by its owner'), 'why, for those who read the list later', { value: '<text>' }) },
  async run(context, args: { model: string }, { reason }) {
    const { client } = await context.connect();
    const what = /^[0-9a-f]{64}$/.test(args.model) ? { rootDigest: args.model } : { model: modelReference(context, args.model) };
    return { data: await client.call(endpoints.trustRevoke, { body: { ...what, reason } }, signalOf(context)) };
  },
  render: ({ revoked }) => `Revoked ${revoked.at(-1)?.rootDigest ?? ''}.`,
});

export const TRUST_COMMANDS: readonly Command[] = [list, explain, accept, add, remove, mode, revoke, seal];

/** Ids of the policy are whole; those of a command line may be cut. */
async function wholeIds(context: Context, given: readonly string[]): Promise<string[]> {
  const { client } = await context.connect();
  const { keys } = await client.call(endpoints.listSigningKeys, {}, signalOf(context));
  return given.map((start) => keys.find(({ id }) => start.length >= 8 && id.startsWith(start))?.id ?? start);
}

const NEEDS: Readonly<Record<string, string>> = {
  signature: 'a valid signature by a trusted key',
  'pinned-hash': 'the content that was pulled or first used',
  tofu: 'the content of its first use',
  gates: 'safe formats; its content is yours to change',
  deny: 'never loaded',
};

function policyText({ mode: now, sources, pins, revoked }: TrustReply): string {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  const rules = table(
    [{ title: '#' }, { title: 'Source' }, { title: 'Models' }, { title: 'Needed to load' }, { title: 'Only' }],
    sources.map(({ position, type, name, require, keys, formats, maxBytes }) => [
      position === null ? 'built in' : String(position),
      type,
      plain(name),
      NEEDS[require] ?? require,
      [...(keys ?? []).map((id) => `key ${id.slice(0, 12)}`), ...(formats ?? []), ...(maxBytes === undefined ? [] : [`≤ ${formatSize(maxBytes)}`])].join(', '),
    ]),
  );
  const sections = [`Mode: ${now}${now === 'enforce' ? ' (models that break a rule are not loaded)' : ''}`, rules];
  const pinned = Object.entries(pins);
  if (pinned.length > 0)
    sections.push(['Pins', ...pinned.map(([name, pin]) => `  ${plain(name)}  ${pin.commit ?? ''} ${pin.rootDigest ?? ''}`.trimEnd())].join('\n'));
  if (revoked.length > 0)
    sections.push(
      [
        'Revoked',
        ...revoked.map(({ hint, rootDigest, at, reason }) => `  ${day(at)}  ${hint === undefined ? `content ${rootDigest}` : `key ${hint}`}  ${plain(reason)}`),
      ].join('\n'),
    );
  return sections.join('\n\n');
}

function explanationText(data: TrustExplanation): string {
  const rows: [string, string][] = [
    ['Model', plain(data.model)],
    ['Source', data.source === 'path' ? `path ${plain(data.name)}` : data.source],
    ['Rule', data.rule === null ? 'built in' : `number ${data.rule}`],
    ['Needed', data.require === null ? 'nothing is enough' : (NEEDS[data.require] ?? data.require)],
    [
      'Verdict',
      data.decision === 'accepted' ? 'loads' : data.decision === 'warned' ? `loads with a warning (${data.reason})` : `${data.decision} (${data.reason})`,
    ],
  ];
  if (data.mode !== 'enforce') rows.push(['Mode', data.mode]);
  if (data.firstUse) rows.push(['First use', 'its content becomes the known one with the first load']);
  if (data.revision !== null) rows.push(['Revision', data.revision]);
  if (data.rootDigest !== null) rows.push(['Root digest', data.rootDigest]);
  if (data.signer !== null) rows.push(['Signed by', data.signer]);
  for (const { file, sha256 } of data.templates) rows.push(['Template', `${sha256.slice(0, 16)} (${plain(file)})`]);
  rows.push(['Files', `${data.files}, ${formatSize(data.bytes)}`]);
  if (data.firstSeen !== null) rows.push(['First seen', new Date(data.firstSeen).toISOString()]);
  if (data.lastAccepted !== null) rows.push(['Accepted', new Date(data.lastAccepted).toISOString()]);
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
  const problems = data.problems.map(({ code, message }) => `  ${code.padEnd(18)}  ${plain(message)}`);
  const advice = data.advice === null ? [] : ['', plain(data.advice)];
  return [...lines, ...(problems.length > 0 ? ['', 'Findings', ...problems] : []), ...advice].join('\n');
}
