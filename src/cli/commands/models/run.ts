import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';
import { memoryTotalBytes } from '../../../app/index.ts';
import type { RunData } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, flag, onUnlessNo, option } from '../../command.ts';
import { type Answer, answer, type GenerationSettings } from '../../generate/answer.ts';
import { chat, INTERRUPTED } from '../../generate/chat.ts';
import { checkWish } from '../../generate/check-wish.ts';
import { isPath } from '../../generate/inspect-model.ts';
import { answerPrinter, speedLine, tokensPerSecond } from '../../generate/print-answer.ts';
import { type MediaFile, readAudio, readImages } from '../../generate/read-media.ts';
import { choosePrompt } from '../../generate/read-prompt.ts';
import { type ReadyModel, readyModel } from '../../generate/ready-model.ts';
import { newTokens } from '../../generate/token-policy.ts';
import { transcribe } from '../../generate/transcribe.ts';
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
  temperature: option(number(0, 2).optional(), '0 = always the likeliest token (default: 0.7; 0 with --audio)', { value: '<n>' }),
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
  jsonSchema: option(z.string().min(1).optional(), 'answer as JSON that fits the schema in this file', { value: '<file>' }),
  engine: option(z.string().min(1).optional(), 'engine that is to run the model', { value: '<id>' }),
  image: option(texts, 'images to ask about', { value: '<file...>', repeatable: true }),
  audio: option(texts, 'a recording to write down or ask about', { value: '<file...>', repeatable: true }),
  language: option(z.string().min(1).optional(), 'language of the recording', { value: '<lang>' }),
  translate: option(z.union([z.string(), z.literal(true)]).optional(), 'translate the recording into English', { value: '[en]' }),
  chunk: option(
    z.coerce
      .number({ error: 'must be 1 … 5' })
      .int({ error: 'must be 1 … 5' })
      .min(1, { error: 'must be 1 … 5' })
      .max(5, { error: 'must be 1 … 5' })
      .optional(),
    'images that the model sees together (default: 1)',
    { value: '<n>' },
  ),
  sandbox: onUnlessNo('start the engine in this process without its sandbox'),
};
type Given = { readonly [K in keyof typeof options]: z.output<(typeof options)[K]> };

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
    checkTogether(given);
    const hasMedia = given.image.length > 0 || given.audio.length > 0 || given.translate !== undefined;
    const choice = await choosePrompt({
      option: given.prompt,
      words: args.prompt ?? [],
      chat: given.chat,
      json: context.common.json,
      media: hasMedia,
      stdin: context.stdin,
      stdinIsTerminal: context.terminal.stdin,
    });
    const jsonSchema = given.jsonSchema === undefined ? undefined : await readJsonSchema(context.cwd, given.jsonSchema);
    // A daemon's engines keep their cage: what is asked for here is for this command alone.
    const { client } = given.sandbox ? await context.connect() : await context.connectHere({ 'security.sandbox': 'off' });
    let media: readonly MediaFile[] = [];
    let speech = false;
    const ready = await readyModel(context, client, {
      name: args.model,
      engine: given.engine,
      async check(shown) {
        speech = given.audio.length > 0 && shown.model.model_type === 'audio';
        const recording = await readAudio(context.cwd, given.audio, context.env);
        media = [...(await readImages(context.cwd, given.image)), ...(recording === null ? [] : [recording])];
        const translate = given.translate === true ? 'en' : given.translate;
        const wish = { name: args.model, images: given.image.length > 0, audio: given.audio.length > 0, translate };
        for (const warning of checkWish(wish, shown, await memoryTotalBytes()).warnings) context.output.notice(`Note: ${warning}`);
        checkRecording(given, args.model, speech);
      },
    });
    if (given.verbose) context.output.notice(`${ready.model.id} on ${ready.model.engine ?? 'no engine'}, loaded in ${formatSeconds(ready.loadMs / 1000)}`);
    if (given.chatTemplate) for (const warning of ready.model.warnings) context.output.notice(`Note: ${plain(warning)}`);
    const { config } = await context.loadConfig();
    const settings = { ...settingsOf(args.model, given, ready, config.run.imageChunk), jsonSchema };
    if (choice.kind === 'chat') {
      await chat(context, client, { settings, modelName: args.model, system: given.system, showReasoning: given.reasoning });
      return { data: null, silent: true };
    }
    const turns = [
      ...(given.system === undefined ? [] : [{ role: 'system' as const, content: given.system }]),
      { role: 'user' as const, content: choice.prompt === '' ? defaultPrompt(given) : choice.prompt, media },
    ];
    const streaming = context.terminal.stdout && given.stream && !context.common.json && !hasMedia;
    const printer = answerPrinter(context, given.reasoning);
    const interrupted = new AbortController();
    const stopListening = context.onInterrupt(() => interrupted.abort());
    let reply: Answer;
    try {
      const signal = AbortSignal.any([interrupted.signal, context.signal]);
      reply = speech
        ? await transcribe(
            client,
            {
              model: ready.model.id,
              recording: media[0]!,
              prompt: choice.prompt,
              language: given.language,
              translate: given.translate !== undefined,
              temperature: settings.temperature,
              table: config.run.audioSegments,
            },
            signal,
          )
        : await answer(client, settings, turns, streaming ? printer.part : () => {}, signal);
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

function settingsOf(name: string, given: Given, ready: ReadyModel, imageChunk: number): GenerationSettings {
  return {
    model: ready.model.id + adapterIn(name),
    maxTokens: newTokens(given.maxTokens, given.image.length > 0, ready.model.contextTokens),
    temperature: given.temperature ?? (given.audio.length > 0 ? 0 : 0.7),
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
    chunk: given.image.length === 0 ? undefined : (given.chunk ?? imageChunk),
  };
}

/** `+ADAPTER` of a name, which the id of the loaded base lacks; a path has none. */
function adapterIn(name: string): string {
  const at = name.indexOf('+');
  return at < 0 || isPath(name) ? '' : name.slice(at);
}

/** `enable_thinking=false` is a boolean, `n=3` a number, everything else text. */
function templateArgument(pair: string): [string, unknown] {
  const at = pair.indexOf('=');
  if (at < 1) throw new HearthError('usage', `--template-arg takes NAME=VALUE, and this is "${pair}".`);
  const value = pair.slice(at + 1);
  const isLiteral = /^(true|false|null|-?\d+(\.\d+)?)$/.test(value);
  return [pair.slice(0, at), isLiteral ? (JSON.parse(value) as unknown) : value];
}

/** Options that contradict each other, whatever the model is. */
function checkTogether(given: Given): void {
  const wrong = (message: string) => new HearthError('invalid_argument', message);
  if (given.image.length > 0 && given.audio.length > 0) throw wrong('Give images or a recording, not both.');
  if (given.language !== undefined && given.audio.length === 0) throw wrong('--language tells the language of a recording: add --audio FILE.');
  if (given.chunk !== undefined && given.image.length === 0) throw wrong('--chunk counts images: add --image FILE.');
  if (given.jsonSchema !== undefined && !given.chatTemplate) throw wrong('--json-schema needs the chat template; leave out --no-chat-template.');
}

async function readJsonSchema(cwd: string, file: string): Promise<unknown> {
  const wrong = (reason: string, cause: unknown) => new HearthError('invalid_value', `--json-schema ${file}: ${reason}.`, { cause });
  const text = await readFile(resolve(cwd, file), 'utf8').catch((error: unknown) => {
    throw wrong((error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : 'the file cannot be read', error);
  });
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw wrong('this is not JSON', error);
  }
}

/** What a recording is for: a speech model writes it down and takes no other wish; a model that hears takes a question, and no language. */
function checkRecording(given: Given, name: string, speech: boolean): void {
  if (given.audio.length === 0) return;
  const wrong = (message: string) => new HearthError('invalid_argument', message);
  const useless = (
    [
      ['--system', given.system],
      ['--json-schema', given.jsonSchema],
      ['--adapter', given.adapter],
    ] as const
  ).find(([, value]) => value !== undefined);
  if (speech && useless !== undefined) throw wrong(`${name} writes down what is said: ${useless[0]} says nothing to it. A prompt is a hint for the spelling.`);
  if (!speech && given.language !== undefined) throw wrong(`${name} answers questions about a recording: say its language in the prompt, not with --language.`);
}

/** What is asked of images or of a recording without a word; a speech model is asked nothing. */
const defaultPrompt = (given: Given): string =>
  given.image.length > 0 ? 'Describe the image.' : given.audio.length > 0 ? 'What do you hear in this audio?' : '';

function runData(model: string, prompt: string, reply: Answer, ready: ReadyModel): RunData {
  const seconds = (ms: number | null | undefined) => (ms === null || ms === undefined ? null : Math.round(ms) / 1000);
  const { usage } = reply;
  return {
    model,
    prompt,
    response: reply.text,
    tokens_generated: usage?.completion_tokens ?? 0,
    generation_time_s: seconds(reply.totalMs) ?? 0,
    reasoning_content: reply.reasoning === '' ? null : reply.reasoning,
    finish_reason: reply.finishReason,
    ...(reply.transcription === undefined ? {} : { transcription: reply.transcription }),
    ...(usage === null ? {} : { usage: { prompt_tokens: usage.prompt_tokens, completion_tokens: usage.completion_tokens, total_tokens: usage.total_tokens } }),
    timings: { load_s: seconds(ready.loadMs), time_to_first_token_s: seconds(reply.firstTokenMs), tokens_per_s: tokensPerSecond(reply) },
    engine: reply.hearth?.engine ?? ready.model.engine,
    resolved: reply.hearth?.model ?? { name: ready.model.id, hash: ready.model.hash },
  };
}
