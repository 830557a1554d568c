import { z } from 'zod';
import type { RunData } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, flag, onUnlessNo, option } from '../../command.ts';
import { type Answer, answer, type GenerationSettings } from '../../generate/answer.ts';
import { chat, INTERRUPTED } from '../../generate/chat.ts';
import { answerPrinter, speedLine, tokensPerSecond } from '../../generate/print-answer.ts';
import { choosePrompt } from '../../generate/read-prompt.ts';
import { type ReadyModel, readyModel } from '../../generate/ready-model.ts';
import { plain } from '../../render/plain.ts';
import { formatSeconds } from '../../render/size.ts';

const number = (low: number, high: number) =>
  z.coerce
    .number({ error: 'must be a number' })
    .min(low, { error: `must be at least ${low}` })
    .max(high, { error: `must be at most ${high}` });
const whole = (low: number) =>
  z.coerce
    .number({ error: 'must be a whole number' })
    .int({ error: 'must be a whole number' })
    .min(low, { error: `must be at least ${low}` });
const texts = z.array(z.string()).default([]);

const options = {
  prompt: option(z.string().optional(), 'the prompt, in place of words', { value: '<text>' }),
  system: option(z.string().optional(), 'system message', { value: '<text>' }),
  chat: flag('talk line by line', { short: 'c' }),
  maxTokens: option(whole(1).optional(), 'longest answer (default: what the context holds)', { value: '<n>' }),
  temperature: option(number(0, 2).default(0.7), '0 = always the likeliest token', { value: '<n>' }),
  topP: option(number(0, 1).default(0.9), 'smallest set of tokens that holds this share', { value: '<n>' }),
  topK: option(whole(0).optional(), 'only the k likeliest tokens', { value: '<n>' }),
  minP: option(number(0, 1).optional(), 'only tokens at least this likely, compared with the likeliest', { value: '<n>' }),
  seed: option(whole(Number.MIN_SAFE_INTEGER).optional(), 'the same seed draws the same answer', { value: '<n>' }),
  stop: option(texts, 'text that ends the answer', { value: '<text>', repeatable: true }),
  repetitionPenalty: option(number(0.01, 100).default(1.1), 'above 1: less repetition', { value: '<n>' }),
  templateArg: option(texts, 'variable of the chat template, K=V', { value: '<k=v>', repeatable: true }),
  adapter: option(z.string().optional(), 'low-rank adapter beside the model: a directory in `adapters` of the home', { value: '<name>' }),
  adapterScale: option(number(0, 2).optional(), 'multiplies what the adapter changes (default: 1)', { value: '<n>' }),
  stream: onUnlessNo('print the answer at once at its end'),
  chatTemplate: onUnlessNo('give the prompt to the model as it is'),
  reasoning: onUnlessNo('hide the reasoning'),
  verbose: flag('tell more on stderr', { short: 'v' }),
  image: option(texts, 'image files', { value: '<file...>', repeatable: true, hidden: true }),
  audio: option(texts, 'audio file', { value: '<file...>', repeatable: true, hidden: true }),
  language: option(z.string().optional(), 'language of the audio', { value: '<lang>', hidden: true }),
  translate: option(z.union([z.string(), z.boolean()]).optional(), 'translate the audio', { value: '[lang]', hidden: true }),
  chunk: option(z.string().optional(), 'images in one batch', { value: '<n>', hidden: true }),
  jsonSchema: option(z.string().optional(), 'answer as JSON of this schema', { value: '<file>', hidden: true }),
  engine: option(z.string().optional(), 'engine', { value: '<id>', hidden: true }),
  sandbox: onUnlessNo('start the engine without its sandbox', { hidden: true }),
};
type Given = { readonly [K in keyof typeof options]: z.output<(typeof options)[K]> };

/** Accepted names whose work is not built; they must not be dropped silently. */
const NOT_BUILT: Readonly<Partial<Record<keyof Given, string>>> = {
  image: '--image',
  audio: '--audio',
  language: '--language',
  translate: '--translate',
  chunk: '--chunk',
  jsonSchema: '--json-schema',
  engine: '--engine',
  sandbox: '--no-sandbox',
};

export const runCommand = defineCommand({
  name: 'run',
  group: 'Models',
  summary: 'Ask a model: once, from a pipe, or in a chat',
  arguments: [
    { name: 'model', schema: z.string().describe('name, part of a name, or a path') },
    { name: 'prompt', schema: z.array(z.string()).optional().describe('the question; - reads stdin too; without it a terminal starts a chat') },
  ],
  options,
  async run(context, args: { model: string; prompt: readonly string[] | undefined }, given) {
    refuseNotBuilt(given);
    const choice = await choosePrompt({
      option: given.prompt,
      words: args.prompt ?? [],
      chat: given.chat,
      json: context.common.json,
      stdin: context.stdin,
      stdinIsTerminal: context.terminal.stdin,
    });
    const { client } = await context.connect();
    const ready = await readyModel(context, client, args.model);
    if (given.verbose) context.output.notice(`${ready.model.id} on ${ready.model.engine ?? 'no engine'}, loaded in ${formatSeconds(ready.loadMs / 1000)}`);
    if (given.chatTemplate) for (const warning of ready.model.warnings) context.output.notice(`Note: ${plain(warning)}`);
    const settings = settingsOf(given, ready);
    if (choice.kind === 'chat') {
      await chat(context, client, { settings, modelName: args.model, system: given.system, showReasoning: given.reasoning });
      return { data: null, silent: true };
    }
    const turns = [
      ...(given.system === undefined ? [] : [{ role: 'system' as const, content: given.system }]),
      { role: 'user' as const, content: choice.prompt },
    ];
    const streaming = context.terminal.stdout && given.stream && !context.common.json;
    const printer = answerPrinter(context, given.reasoning);
    const interrupted = new AbortController();
    const stopListening = context.onInterrupt(() => interrupted.abort());
    let reply: Answer;
    try {
      reply = await answer(client, settings, turns, streaming ? printer.part : () => {}, AbortSignal.any([interrupted.signal, context.signal]));
    } catch (error) {
      if (!interrupted.signal.aborted) throw error;
      if (context.common.json) throw new HearthError('cancelled', INTERRUPTED, { cause: error });
      printer.end();
      context.output.stderr.write(`${INTERRUPTED}\n`);
      return { data: null, silent: true, exitCode: 130 };
    } finally {
      stopListening();
    }
    if (!streaming) {
      if (reply.reasoning !== '') printer.part({ kind: 'reasoning', text: reply.reasoning });
      printer.part({ kind: 'text', text: reply.text });
    }
    printer.end();
    const speed = speedLine(reply);
    if (speed !== null && !context.common.json) context.output.notice(speed);
    return { data: runData(args.model, choice.prompt, reply, ready) };
  },
  // The text was written as it came.
  render: () => '',
});

function settingsOf(given: Given, ready: ReadyModel): GenerationSettings {
  return {
    model: ready.model.id,
    // The command line gives an answer the whole context; the server would give it half.
    maxTokens: given.maxTokens ?? ready.model.contextTokens ?? undefined,
    temperature: given.temperature,
    topP: given.topP === 0 ? 1e-6 : given.topP,
    topK: given.topK,
    minP: given.minP,
    seed: given.seed,
    repetitionPenalty: given.repetitionPenalty,
    adapter: given.adapter,
    adapterScale: given.adapterScale,
    stop: given.stop,
    templateArguments: given.templateArg.length === 0 ? undefined : Object.fromEntries(given.templateArg.map(templateArgument)),
    chatTemplate: given.chatTemplate,
  };
}

/** `enable_thinking=false` is a boolean, `n=3` a number, everything else text. */
function templateArgument(pair: string): [string, unknown] {
  const at = pair.indexOf('=');
  if (at < 1) throw new HearthError('usage', `--template-arg takes NAME=VALUE, and this is "${pair}".`);
  const value = pair.slice(at + 1);
  const isLiteral = /^(true|false|null|-?\d+(\.\d+)?)$/.test(value);
  return [pair.slice(0, at), isLiteral ? (JSON.parse(value) as unknown) : value];
}

function refuseNotBuilt(given: Given): void {
  for (const [name, long] of Object.entries(NOT_BUILT) as [keyof Given, string][]) {
    const value = given[name];
    const used = name === 'sandbox' ? value === false : Array.isArray(value) ? value.length > 0 : value !== undefined;
    if (used) throw new HearthError('not_implemented', `\`hearth run ${long}\` is not part of this version yet.`);
  }
}

function runData(model: string, prompt: string, reply: Answer, ready: ReadyModel): RunData {
  const seconds = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : Math.round(ms) / 1000);
  const usage = reply.usage ?? { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
  return {
    model,
    prompt,
    response: reply.text,
    tokens_generated: usage.completion_tokens,
    generation_time_s: seconds(reply.totalMs) ?? 0,
    reasoning_content: reply.reasoning === '' ? null : reply.reasoning,
    finish_reason: reply.finishReason,
    usage: { prompt_tokens: usage.prompt_tokens, completion_tokens: usage.completion_tokens, total_tokens: usage.total_tokens },
    timings: { load_s: seconds(ready.loadMs), time_to_first_token_s: seconds(reply.firstTokenMs), tokens_per_s: tokensPerSecond(reply) },
    engine: reply.hearth?.engine ?? ready.model.engine,
    resolved: reply.hearth?.model ?? { name: ready.model.id, hash: ready.model.hash },
  };
}
