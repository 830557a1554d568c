import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { type EngineEntry, endpoints } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { type Command, defineCommand, option } from '../../command.ts';
import type { Context } from '../../context.ts';
import { plain } from '../../render/plain.ts';
import { table } from '../../render/table.ts';

const id = [
  {
    name: 'engine',
    schema: z
      .string()
      .regex(/^[a-z]{1,32}$/, { error: 'must be the name of an engine, such as mlx' })
      .describe('such as `mlx`'),
  },
];
const offline = option(z.string().min(1).optional(), 'take the packages from this folder', { value: '<dir>' });

const listCommand = defineCommand({
  name: 'engines list',
  group: 'Stack',
  summary: 'List the engines and their state',
  arguments: [],
  options: {},
  async run(context) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.engines, {}, { signal: context.signal }) };
  },
  render({ engines }: { engines: readonly EngineEntry[] }) {
    const rows = engines.map((engine) => [engine.id, engine.version ?? '—', engine.lock ?? '—', engine.device ?? '—', engine.state, engine.fix ?? '']);
    return table([{ title: 'Engine' }, { title: 'Version' }, { title: 'Lock' }, { title: 'Device' }, { title: 'State' }, { title: 'To do' }], rows);
  },
});

interface Installed {
  readonly changed: boolean;
  readonly engine: EngineEntry;
}

const installing = (verb: 'install' | 'update', summary: string): Command =>
  defineCommand({
    name: `engines ${verb}`,
    group: 'Stack',
    summary,
    arguments: id,
    options: { offline },
    run: async (context, args: { engine: string }, given) => ({ data: await install(context, verb, args.engine, given.offline) }),
    render: ({ changed, engine }: Installed) =>
      changed ? `Installed ${engine.id} (${plain(engine.version ?? '')}).` : `${engine.id} is installed already (${plain(engine.version ?? '')}).`,
  });

/** Its steps go to stderr, each message once. */
async function install(context: Context, verb: 'install' | 'update', engine: string, folder: string | undefined): Promise<Installed> {
  const { client } = await context.connect();
  const endpoint = verb === 'install' ? endpoints.engineInstall : endpoints.engineUpdate;
  const body = folder === undefined ? {} : { offline: isAbsolute(folder) ? folder : resolve(context.cwd, folder) };
  let last = '';
  for await (const event of client.stream(endpoint, { params: { id: engine }, body }, { signal: context.signal })) {
    if (event.kind === 'result') return { changed: event.changed, engine: event.engine };
    const line = `[${event.step}/${event.steps}] ${plain(event.message)}`;
    if (line !== last && !context.common.quiet) context.output.notice(line);
    last = line;
  }
  throw new HearthError('engine_install_failed', `The installation of ${engine} ended without a result.`);
}

const verifyCommand = defineCommand({
  name: 'engines verify',
  group: 'Stack',
  summary: 'Compare every file of an engine with what was installed',
  arguments: id,
  options: {},
  async run(context, args: { engine: string }) {
    const { client } = await context.connect();
    const data = await client.call(endpoints.engineVerify, { params: { id: args.engine } }, { signal: context.signal });
    return { data, exitCode: data.intact ? 0 : 1 };
  },
  render: ({ id: engine, intact, problems }: { id: string; intact: boolean; problems: readonly string[] }) =>
    intact
      ? `${engine} is as it was installed.`
      : `${engine} is not as it was installed, and is not started:\n${problems.map((problem) => `- ${plain(problem)}`).join('\n')}`,
});

const removeCommand = defineCommand({
  name: 'engines remove',
  group: 'Stack',
  summary: 'Remove what was installed for an engine',
  arguments: id,
  options: {},
  async run(context, args: { engine: string }) {
    const { client } = await context.connect();
    return { data: await client.call(endpoints.engineRemove, { params: { id: args.engine } }, { signal: context.signal }) };
  },
  render: ({ id: engine, removed }: { id: string; removed: boolean }) => (removed ? `Removed ${engine}.` : `${engine} was not installed.`),
});

export const ENGINE_COMMANDS: readonly Command[] = [
  listCommand,
  installing('install', 'Install an engine into its own environment'),
  verifyCommand,
  installing('update', 'Install the packages of this version, and switch'),
  removeCommand,
];
