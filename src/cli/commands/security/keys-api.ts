import { z } from 'zod';
import { type ApiKeyRecord, endpoints, SCOPES } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { type Command, defineCommand, flag, option } from '../../command.ts';
import { table } from '../../render/table.ts';

const SCOPE_NAMES = SCOPES.filter((scope) => scope !== 'public');
const LIMIT = /^(rpm|tpm|concurrent|tokens)=([1-9]\d{0,8})$/;
const BUDGET = /^usd=(\d+(?:\.\d+)?)\/(hour|day|month)$/;
const FIELDS = { rpm: 'rpm', tpm: 'tpm', concurrent: 'maxConcurrent', tokens: 'maxTokens' } as const;
const DAY_MS = 86_400_000;

const newKey = defineCommand({
  name: 'keys api new',
  group: 'Security',
  summary: 'Make an API key; it is shown this once',
  arguments: [],
  options: {
    scope: option(
      z.array(z.enum(SCOPE_NAMES, { error: `must be of ${SCOPE_NAMES.join(', ')}` })).optional(),
      `what it may do (default: inference): ${SCOPE_NAMES.join(', ')}`,
      {
        value: '<scope...>',
        repeatable: true,
      },
    ),
    name: option(z.string().min(1).max(100).optional(), 'what you will know it by', { value: '<text>' }),
    model: option(z.array(z.string().min(1)).optional(), 'only models that fit, `*` for any part', { value: '<glob...>', repeatable: true }),
    expires: option(z.string().optional(), 'after so many days, such as 90d, or at a date such as 2027-01-31', { value: '<when>' }),
    limit: option(z.array(z.string()).optional(), 'rpm=60, tpm=100000, concurrent=4, tokens=2048, usd=5/day', { value: '<limit...>', repeatable: true }),
    batch: flag('its requests wait for those of other keys'),
    localOnly: flag('its requests never leave this machine'),
  },
  async run(context, _args, given) {
    const body = {
      name: given.name ?? null,
      ...(given.scope === undefined ? {} : { scopes: [...new Set(given.scope)] }),
      ...(given.model === undefined ? {} : { models: given.model }),
      ...(given.expires === undefined ? {} : { expiresAt: expiry(given.expires, Date.now()) }),
      ...Object.assign({}, ...(given.limit ?? []).map(limit)),
      ...(given.batch ? { priority: 'batch' as const } : {}),
      ...(given.localOnly ? { privacy: 'local-only' as const } : {}),
    };
    const { client } = await context.connect();
    const data = await client.call(endpoints.createApiKey, { body }, { signal: context.signal });
    context.output.notice('Keep it now: hearth stores only its hash and cannot show it again.');
    return { data };
  },
  render: ({ key }) => key,
});

const list = defineCommand({
  name: 'keys api list',
  group: 'Security',
  summary: 'List the API keys and what each may do',
  arguments: [],
  options: {},
  async run(context) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.listApiKeys, {}, { signal: context.signal }) };
  },
  render: ({ keys }) =>
    keys.length === 0
      ? 'There are no API keys. `hearth keys api new` makes one.'
      : table(
          [{ title: 'Id' }, { title: 'Name' }, { title: 'State' }, { title: 'Scopes' }, { title: 'Models' }, { title: 'Limits' }, { title: 'Expires' }],
          keys.map((record) => [
            record.id,
            record.name ?? '',
            stateOf(record, Date.now()),
            record.policy.scopes.join(', '),
            record.policy.models.join(', ') || 'all',
            limitsOf(record).join(', ') || 'none',
            record.expiresAt?.slice(0, 10) ?? 'never',
          ]),
        ),
});

const revoke = defineCommand({
  name: 'keys api revoke',
  group: 'Security',
  summary: 'Revoke an API key at once and for good',
  arguments: [{ name: 'id', schema: z.string().describe('the 12 characters after `hth_`; `hearth keys api list` shows them') }],
  options: {},
  async run(context, args: { id: string }) {
    if (args.id.startsWith('hth_'))
      throw new HearthError('invalid_argument', 'Name the key by its id, the 12 characters after `hth_`: a whole key stays in the history of the shell.');
    const { client } = await context.connect();
    return { data: await client.call(endpoints.revokeApiKey, { params: { id: args.id } }, { signal: context.signal }) };
  },
  render: ({ record }) => `Revoked ${record.id}${record.name === null ? '' : ` (${record.name})`}.`,
});

export const API_KEY_COMMANDS: readonly Command[] = [newKey, list, revoke];

function limit(text: string): Record<string, unknown> {
  const [, name, value] = LIMIT.exec(text) ?? [];
  if (name !== undefined) return { [FIELDS[name as keyof typeof FIELDS]]: Number(value) };
  const [, amount, window] = BUDGET.exec(text) ?? [];
  if (amount !== undefined) return { budgetUsd: { amount: Number(amount), window } };
  throw new HearthError('usage', `--limit ${text} is none of rpm=60, tpm=100000, concurrent=4, tokens=2048, usd=5/day.`);
}

function expiry(text: string, nowMs: number): string {
  const days = /^([1-9]\d{0,4})d$/.exec(text)?.[1];
  const at = days === undefined ? Date.parse(/^\d{4}-\d\d-\d\d(T.+Z)?$/.test(text) ? text : 'no date') : nowMs + Number(days) * DAY_MS;
  if (Number.isNaN(at)) throw new HearthError('usage', `--expires ${text} is neither days such as 90d nor a date such as 2027-01-31.`);
  return new Date(at).toISOString();
}

function stateOf({ revokedAt, expiresAt }: ApiKeyRecord, nowMs: number): string {
  if (revokedAt !== null) return 'revoked';
  return expiresAt !== null && Date.parse(expiresAt) <= nowMs ? 'expired' : 'active';
}

function limitsOf({ policy }: ApiKeyRecord): string[] {
  const { rpm, tpm, maxConcurrent, maxTokens, budgetUsd, priority, privacy } = policy;
  const said = (value: unknown, text: string) => (value === null ? [] : [text]);
  return [
    ...said(rpm, `${rpm} requests/min`),
    ...said(tpm, `${tpm} tokens/min`),
    ...said(maxConcurrent, `${maxConcurrent} at a time`),
    ...said(maxTokens, `${maxTokens} tokens/answer`),
    ...(budgetUsd === null ? [] : [`$${budgetUsd.amount}/${budgetUsd.window}`]),
    ...(priority === 'batch' ? ['batch'] : []),
    ...(privacy === 'local-only' ? ['local only'] : []),
  ];
}
