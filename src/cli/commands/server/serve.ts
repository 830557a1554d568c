import { z } from 'zod';
import type { ServerData } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, flag, onUnlessNo, option } from '../../command.ts';
import { successEnvelope } from '../../envelope.ts';

export const serveCommand = defineCommand({
  name: 'serve',
  aliases: ['server'],
  group: 'Server',
  summary: 'Serve the OpenAI and Anthropic APIs until Ctrl-C',
  envelope: 'server',
  arguments: [],
  options: {
    model: option(z.string().min(1).optional(), 'load this model at the start', { value: '<model>' }),
    host: option(z.string().min(1).optional(), 'address (default: 127.0.0.1, only this machine)', { value: '<host>' }),
    port: option(
      z.coerce.number({ error: 'must be a number' }).int().min(0, { error: 'must be 0 … 65535' }).max(65535, { error: 'must be 0 … 65535' }).optional(),
      'port (default: 8000); 0 = any free one',
      { value: '<port>' },
    ),
    maxTokens: option(z.coerce.number({ error: 'must be a number' }).int().min(1).optional(), 'new tokens when a request names no limit', { value: '<n>' }),
    logJson: flag('log lines as JSON'),
    chunk: option(z.string().optional(), 'images in one batch', { value: '<n>', hidden: true }),
    embedBackend: option(
      z.url({ protocol: /^https?$/, error: 'must be a URL such as http://127.0.0.1:8100' }).optional(),
      'send /v1/embeddings to this server',
      { value: '<url>' },
    ),
    sandbox: onUnlessNo('start engines without their sandbox'),
  },
  async run(context, _args, given) {
    if (given.chunk !== undefined) throw new HearthError('not_implemented', '`hearth serve --chunk` is not part of this version yet.');
    const flags = {
      'serve.model': given.model,
      'serve.host': given.host,
      'serve.port': given.port,
      'serve.maxTokens': given.maxTokens,
      'serve.embedBackend': given.embedBackend,
      'logs.json': given.logJson ? true : undefined,
      'security.sandbox': given.sandbox ? undefined : 'off',
    };
    const { config } = await context.loadConfig(flags);
    const { runDaemon } = await import('../../../app/index.ts');
    const daemon = await runDaemon({
      config,
      readConfig: async () => (await context.loadConfig(flags)).config,
      version: context.version,
      home: context.home,
      userHome: context.userHome,
      cwd: context.cwd,
      env: context.env,
      stderr: context.output.stderr,
      mode: 'serve',
      onReload: (listener) => void context.onHangup(listener),
      onStop: (listener) => {
        context.onInterrupt(listener);
        context.onTerminate(listener);
      },
    });
    const data: ServerData = {
      host: config.serve.host,
      port: daemon.port ?? config.serve.port,
      model: config.serve.model,
      max_tokens: config.serve.maxTokens,
      embed_backend: config.serve.embedBackend,
    };
    if (context.common.json) context.output.document(successEnvelope('server', data));
    else context.output.notice(`hearth ${context.version} listens on ${daemon.url}/v1 — Ctrl-C stops it.`);
    await daemon.stopped;
    return { data, silent: true };
  },
});
