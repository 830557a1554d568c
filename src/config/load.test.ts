import { describe, expect, it } from 'vitest';
import { CONFIG_KEYS, load } from './index.ts';

const file = (text: string) => ({ path: '/home/ada/.hearth/config.yaml', text });
const problemsOf = async (sources: Parameters<typeof load>[0]): Promise<readonly string[]> => {
  try {
    await load(sources);
  } catch (error) {
    expect(error).toMatchObject({ code: 'config_invalid' });
    return (error as { details: { problems: string[] } }).details.problems;
  }
  throw new Error('expected config_invalid');
};

describe('load', () => {
  it('is all defaults, frozen, without any source, also with an empty file', async () => {
    const { config, origins } = await load({ userFile: file('\n# nothing\n') });
    expect(config.serve.port).toBe(8000);
    expect(origins.get('serve.port')).toEqual({ source: 'default', place: null });
    expect(Object.isFrozen(config.gateway)).toBe(true);
  });

  it('takes flags over the environment over the file over defaults, and remembers each place', async () => {
    const sources = { env: { HEARTH_SERVE_PORT: '7001', HEARTH_LOGS_JSON: 'yes' }, userFile: file('serve:\n  port: 7000\n  host: 0.0.0.0\n') };
    const flagged = await load({ ...sources, flags: { 'serve.port': 7002, 'serve.host': undefined } });
    expect(flagged.config.serve).toMatchObject({ port: 7002, host: '0.0.0.0' });
    expect(flagged.config.logs.json).toBe(true);
    expect(flagged.offers.get('serve.port')!.map((offer) => offer.origin.source)).toEqual(['flag', 'env', 'user']);
    const { config, origins } = await load(sources);
    expect(config.serve.port).toBe(7001);
    expect(origins.get('serve.host')).toEqual({ source: 'user', place: '/home/ada/.hearth/config.yaml:3' });
  });

  it('reads the short names of the environment after the long ones, and empty variables not at all', async () => {
    expect((await load({ env: { HEARTH_PORT: '7003', MLXK2_PORT: '7004' } })).config.serve.port).toBe(7003);
    expect((await load({ env: { HEARTH_PORT: '', MLXK2_PORT: '7004' } })).config.serve.port).toBe(7004);
    expect((await load({ env: { HF_ENDPOINT: 'http://127.0.0.1:9' } })).config.hub.endpoint).toBe('http://127.0.0.1:9');
    expect((await load({ env: { HEARTH_DEBUG: '1' } })).config.logs.level).toBe('debug');
  });

  it('reports every problem at once with file, line, key and what is allowed', async () => {
    const text = 'serve:\n  port: 99999\n  hots: x\nlogs:\n  level: loud\nqueue: 1\n';
    const problems = await problemsOf({ userFile: file(text), env: { HEARTH_GATEWAY_TTL_SECONDS: 'soon' } });
    expect(problems).toHaveLength(5);
    expect(problems.join('\n')).toContain('config.yaml:2: serve.port must be whole number 0 … 65535');
    expect(problems.join('\n')).toContain('config.yaml:3: unknown key serve.hots; did you mean serve.host?');
    expect(problems.join('\n')).toContain('config.yaml:5: logs.level must be debug, info, warning, error');
    expect(problems.join('\n')).toContain('HEARTH_GATEWAY_TTL_SECONDS: gateway.ttlSeconds must be');
  });

  it('tells file, line and column of a syntax error and never repeats the text', async () => {
    const problems = await problemsOf({ userFile: file('serve:\n  port: [hunter2\n') });
    expect(problems.join()).toMatch(/config\.yaml:\d+:\d+: is not valid YAML/);
    expect(problems.join()).not.toContain('hunter2');
  });

  it.each([
    ['anchors', 'serve: &a\n  port: 1\n'],
    ['aliases', 'logs: &a {json: true}\nserve: *a\n'],
    ['tags', 'serve:\n  host: !secret x\n'],
    ['a key twice', 'version: 1\nversion: 1\n'],
    ['two documents', 'version: 1\n---\nversion: 1\n'],
    ['a newer version', 'version: 2\n'],
  ])('refuses %s', async (_, text) => {
    expect((await problemsOf({ userFile: file(text) })).length).toBeGreaterThan(0);
  });

  it('refuses in a project file what is not project-safe', async () => {
    expect(await problemsOf({ projectFile: { path: '/p/hearth.yaml', text: 'serve:\n  port: 1\n' } })).toEqual([
      '/p/hearth.yaml:2: serve.port cannot be set in a project file.',
    ]);
  });

  it('reads JSON as the subset of YAML that it is', async () => {
    expect((await load({ userFile: file('{"serve": {"port": 7005}}') })).config.serve.port).toBe(7005);
  });
});

describe('keys', () => {
  it('have a description, a range and distinct variables each', () => {
    const variables = CONFIG_KEYS.flatMap((key) => key.variables);
    expect(new Set(variables).size).toBe(variables.length);
    expect(CONFIG_KEYS.length).toBeGreaterThan(15);
    for (const key of CONFIG_KEYS) expect([key.name, key.description.length > 10, key.allowed.length > 0]).toEqual([key.name, true, true]);
  });
});
