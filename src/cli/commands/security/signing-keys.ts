import { z } from 'zod';
import { endpoints, type SigningKeyRecord } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { readSecret } from '../../ask-secret.ts';
import { type Command, defineCommand, flag, option } from '../../command.ts';
import type { Context } from '../../context.ts';
import { absolute } from '../../generate/inspect-model.ts';
import { plain } from '../../render/plain.ts';
import { table } from '../../render/table.ts';

const id = { name: 'id', schema: z.string().describe('the id of a key, or its first 8 characters; `hearth keys list` shows them') };
const ROLES = ['developer', 'internal', 'publisher'] as const;
const described = {
  role: option(z.enum(ROLES, { error: `must be one of ${ROLES.join(', ')}` }).optional(), 'whose key it is: developer, internal or publisher', {
    value: '<role>',
  }),
  model: option(z.array(z.string().min(1)).optional(), 'models that it may vouch for, such as `org/*`', { value: '<glob...>', repeatable: true }),
  name: option(z.string().min(1).max(100).optional(), 'what you will know it by', { value: '<text>' }),
  passphraseEnv: option(z.string().min(1).optional(), 'name of the environment variable that holds the passphrase of the private key', { value: '<variable>' }),
  passphraseFd: option(z.coerce.number().int().min(0).optional(), 'number of an open file descriptor to read the passphrase from', { value: '<number>' }),
};
const signalOf = ({ signal }: Context) => ({ signal });

const create = defineCommand({
  name: 'keys new',
  group: 'Security',
  summary: 'Make a key that signs models',
  arguments: [],
  options: {
    curve: option(z.enum(['P-256', 'P-384', 'P-521'], { error: 'must be P-256, P-384 or P-521' }).optional(), 'P-256 (default), P-384 or P-521', {
      value: '<curve>',
    }),
    ...described,
  },
  async run(context, _args, given) {
    const { client } = await context.connect();
    const body = { ...(given.curve === undefined ? {} : { curve: given.curve }), ...(await bodyOf(context, given)) };
    return { data: await client.call(endpoints.newSigningKey, { body }, signalOf(context)) };
  },
  render: ({ key }) =>
    `${key.id}\nIts private half is in the keys directory of the home, for your user alone. \`hearth sign MODEL --key ${key.id.slice(0, 12)}\` signs with it.`,
});

const take = defineCommand({
  name: 'keys import',
  group: 'Security',
  summary: 'Trust the public key of a publisher, or take a private key to sign with',
  arguments: [{ name: 'file', schema: z.string().describe('PEM file; a private key must be readable for you alone') }],
  options: { pending: flag('it counts only once another person approves it (`hearth keys approve`)'), ...described },
  async run(context, args: { file: string }, given) {
    const { readKeyFile } = await import('../../../app/index.ts');
    const pem = await readKeyFile(absolute(context, args.file));
    const { client } = await context.connect();
    const body = { pem, ...(given.pending ? { pending: true } : {}), ...(await bodyOf(context, given, pem.includes('ENCRYPTED'))) };
    return { data: await client.call(endpoints.importSigningKey, { body }, signalOf(context)) };
  },
  render: ({ key }) =>
    `${key.id}\n${key.state === 'pending' ? 'It waits for the approval of another person.' : `It may vouch for ${plain(key.models.join(', '))}.`}`,
});

const list = defineCommand({
  name: 'keys list',
  group: 'Security',
  summary: 'List the signing keys and what each may vouch for',
  arguments: [],
  options: {},
  async run(context) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.listSigningKeys, {}, signalOf(context)) };
  },
  render: ({ keys }) =>
    keys.length === 0
      ? 'There are no signing keys. `hearth keys new` makes one; `hearth keys import` takes one of a publisher.'
      : table(
          [{ title: 'Id' }, { title: 'Name' }, { title: 'Role' }, { title: 'State' }, { title: 'Signs' }, { title: 'Models' }, { title: 'Retires' }],
          keys.map((key) => [
            key.id.slice(0, 12),
            plain(key.name ?? ''),
            key.role,
            key.state,
            key.signs ? 'here' : 'no',
            plain(key.models.join(', ')),
            dayOf(key.retireAt),
          ]),
        ),
});

const rotate = defineCommand({
  name: 'keys rotate',
  group: 'Security',
  summary: 'Make the successor of a key; both are valid for some days',
  arguments: [id],
  options: {
    days: option(z.coerce.number().int().min(0).max(3650).optional(), 'until the old key retires (default: 30)', { value: '<days>' }),
    passphraseEnv: described.passphraseEnv,
    passphraseFd: described.passphraseFd,
  },
  async run(context, args: { id: string }, { days, ...given }) {
    const { client } = await context.connect();
    const body = { ...(days === undefined ? {} : { days }), ...(await bodyOf(context, given)) };
    return { data: await client.call(endpoints.rotateSigningKey, { params: { id: args.id }, body }, signalOf(context)) };
  },
  render: ({ old, key }) =>
    `${key.id}\nIt follows ${old.id.slice(0, 12)}, which is valid until ${dayOf(old.retireAt)}: sign your models with the new one until then.`,
});

const retire = defineCommand({
  name: 'keys retire',
  group: 'Security',
  summary: 'Let a key sign no longer, now or at a date',
  arguments: [id],
  options: { at: option(z.iso.date({ error: 'must be a date such as 2027-01-31' }).optional(), 'the date (UTC)', { value: '<date>' }) },
  async run(context, args: { id: string }, { at }) {
    const { client } = await context.connect();
    const body = at === undefined ? {} : { at: Date.parse(at) };
    return { data: await client.call(endpoints.retireSigningKey, { params: { id: args.id }, body }, signalOf(context)) };
  },
  render: ({ key }) => `${key.id.slice(0, 12)} retires on ${dayOf(key.retireAt)}; models that it signed are not loaded after that.`,
});

const revoke = defineCommand({
  name: 'keys revoke',
  group: 'Security',
  summary: 'Trust a key no longer, at once and for good',
  arguments: [id],
  options: { reason: option(z.string().min(1).max(500).optional(), 'why, for those who read the list later', { value: '<text>' }) },
  async run(context, args: { id: string }, { reason }) {
    const { client } = await context.connect();
    const body = reason === undefined ? {} : { reason };
    return { data: await client.call(endpoints.revokeSigningKey, { params: { id: args.id }, body }, signalOf(context)) };
  },
  render: ({ key }) => `Revoked ${key.id.slice(0, 12)}: no model that it signed is loaded any more.`,
});

const approve = defineCommand({
  name: 'keys approve',
  group: 'Security',
  summary: 'Approve a key that another person imported with --pending',
  arguments: [id],
  options: {},
  async run(context, args: { id: string }) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.approveSigningKey, { params: { id: args.id } }, signalOf(context)) };
  },
  render: ({ key }) => `${key.id.slice(0, 12)} may vouch for ${plain(key.models.join(', '))} from now on.`,
});

const exportKey = defineCommand({
  name: 'keys export',
  group: 'Security',
  summary: 'Print the public half of a key, for those who are to trust it',
  arguments: [id],
  options: {},
  async run(context, args: { id: string }) {
    const { client } = await context.connect();
    const { keys } = await client.call(endpoints.listSigningKeys, {}, signalOf(context));
    const found = keys.filter((key) => /^[0-9a-f]{8,64}$/.test(args.id) && key.id.startsWith(args.id));
    if (found.length !== 1 || found[0]!.pem === null) throw new HearthError('signing_key_not_found', `There is no signing key ${args.id.slice(0, 64)}.`);
    return { data: { id: found[0]!.id, pem: found[0]!.pem } };
  },
  render: ({ pem }) => pem.trimEnd(),
});

export const SIGNING_KEY_COMMANDS: readonly Command[] = [create, take, list, rotate, retire, revoke, approve, exportKey];

interface Described {
  readonly role?: SigningKeyRecord['role'] | undefined;
  readonly model?: readonly string[] | undefined;
  readonly name?: string | undefined;
  readonly passphraseEnv?: string | undefined;
  readonly passphraseFd?: number | undefined;
}

/** The passphrase comes from where the user says, never from the command line itself: other users see that. */
async function bodyOf(context: Context, { role, model, name, passphraseEnv: env, passphraseFd: fd }: Described, encrypted = false) {
  const passphrase = env === undefined && fd === undefined && !encrypted ? undefined : await readSecret(context, { env, fd }, 'passphrase of the key');
  return {
    ...(role === undefined ? {} : { role }),
    ...(model === undefined ? {} : { models: [...model] }),
    ...(name === undefined ? {} : { name }),
    ...(passphrase === undefined ? {} : { passphrase }),
  };
}

const dayOf = (ms: number | null): string => (ms === null ? 'never' : new Date(ms).toISOString().slice(0, 10));
