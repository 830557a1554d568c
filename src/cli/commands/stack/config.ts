import { join } from 'node:path';
import { z } from 'zod';
import { CONFIG_KEYS, type ConfigKey, findConfigFile, findKey, nearestKey, setInFile } from '../../../config/index.ts';
import { HearthError } from '../../../core/index.ts';
import { type Command, defineCommand } from '../../command.ts';
import { table } from '../../render/table.ts';

const keyArgument = { name: 'key', schema: z.string().describe('such as `serve.port`') };
const show = (value: unknown): string =>
  Array.isArray(value) && value.every((item) => typeof item !== 'object')
    ? `[${value.join(', ')}]`
    : typeof value === 'object' && value !== null
      ? JSON.stringify(value)
      : String(value);
/** Of a table's cell. */
const short = (value: unknown): string => (show(value).length > 60 ? `${show(value).slice(0, 59)}…` : show(value));

/** Keys of upstreams may stand in the file; they are shown nowhere. */
const withoutSecrets = (value: unknown): unknown =>
  typeof value !== 'object' || value === null
    ? value
    : (JSON.parse(JSON.stringify(value, (name, each: unknown) => (name === 'apiKey' && typeof each === 'string' ? '(hidden)' : each))) as unknown);

function wanted(name: string): ConfigKey {
  const key = findKey(name);
  if (key !== undefined) return key;
  const near = nearestKey(name);
  const guess = near === undefined ? '' : ` Did you mean ${near}?`;
  throw new HearthError('invalid_argument', `There is no key "${name}".${guess} \`hearth config list\` shows all.`, {
    details: { keys: CONFIG_KEYS.map((entry) => entry.name) },
  });
}

const valueAt = (config: unknown, path: readonly string[]): unknown =>
  withoutSecrets(path.reduce((node, name) => (node as Record<string, unknown>)[name], config));

const list = defineCommand({
  name: 'config list',
  group: 'Stack',
  summary: 'List every key with its value and where it came from',
  arguments: [],
  options: {},
  async run(context) {
    const { config, origins } = await context.loadConfig();
    const keys = CONFIG_KEYS.map((key) => ({
      key: key.name,
      value: valueAt(config, key.path),
      default: key.defaultValue,
      source: origins.get(key.name)!.source,
    }));
    return { data: { keys } };
  },
  render: ({ keys }) =>
    table(
      [{ title: 'Key' }, { title: 'Value' }, { title: 'Default' }, { title: 'Source' }],
      keys.map((row) => [row.key, short(row.value), short(row.default), row.source]),
    ),
});

const get = defineCommand({
  name: 'config get',
  group: 'Stack',
  summary: 'Print the value of a key',
  arguments: [keyArgument],
  options: {},
  async run(context, args: { key: string }) {
    const key = wanted(args.key);
    const { config } = await context.loadConfig();
    return { data: { key: key.name, value: valueAt(config, key.path) } };
  },
  render: ({ value }) => show(value),
});

const explain = defineCommand({
  name: 'config explain',
  group: 'Stack',
  summary: 'Tell what a key means and which places name a value for it',
  arguments: [keyArgument],
  options: {},
  async run(context, args: { key: string }) {
    const key = wanted(args.key);
    const { config, offers } = await context.loadConfig();
    return {
      data: {
        key: key.name,
        description: key.description,
        allowed: key.allowed,
        value: valueAt(config, key.path),
        default: key.defaultValue,
        variables: key.variables,
        places: (offers.get(key.name) ?? []).map(({ origin, value }) => ({ source: origin.source, place: origin.place, value: withoutSecrets(value) })),
      },
    };
  },
  render: (data) =>
    [
      `${data.key} = ${show(data.value)}`,
      data.description,
      `Allowed: ${data.allowed}. Default: ${show(data.default)}.`,
      `Environment: ${data.variables.join(', ')}`,
      ...(data.places.length === 0
        ? ['The value is the default.']
        : data.places.map((place, i) => `${i === 0 ? 'Used' : 'Hidden'}: ${show(place.value)} from ${place.place} (${place.source})`)),
    ].join('\n'),
});

const path = defineCommand({
  name: 'config path',
  group: 'Stack',
  summary: 'Print the path of the configuration file',
  arguments: [],
  options: {},
  async run(context) {
    const found = findConfigFile(context.home);
    return { data: { path: found?.path ?? join(context.home, 'config.yaml'), exists: found !== undefined } };
  },
  render: (data) => data.path,
});

const set = defineCommand({
  name: 'config set',
  group: 'Stack',
  summary: 'Change a key in the file',
  arguments: [
    keyArgument,
    { name: 'value', schema: z.string().describe('new value; null where the key allows it, commas between the items of a list, JSON for groups') },
  ],
  options: {},
  async run(context, args: { key: string; value: string }) {
    const key = wanted(args.key);
    const { path, value } = await setInFile(context.home, key, args.value);
    // A daemon sees the file change, and records what that did.
    if ((await context.findDaemon({ anyVersion: true })) === null) {
      const { recordSecurityEvent } = await import('../../../app/index.ts');
      await recordSecurityEvent(context.home, { event: 'config.change', outcome: 'ok', reason: 'command', details: { what: 'config', changed: [key.name] } });
    }
    return { data: { key: key.name, value: withoutSecrets(value), path } };
  },
  render: (data) => `${data.key} = ${show(data.value)}`,
});

export const CONFIG_COMMANDS: readonly Command[] = [list, get, set, explain, path];
