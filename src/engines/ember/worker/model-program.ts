import type { GenerateRequest } from '../../../contract/index.ts';
import { HearthError, toHearthError } from '../../../core/index.ts';
import type { RankThreads } from '../../../ember/index.ts';
import { promptInput } from '../../model-text/prepare-request.ts';
import { openParentChannel, type ParentChannel } from '../../protocol/parent-channel.ts';
import { PROTOCOL_VERSION, type ToWorker } from '../../protocol/to-worker.ts';
import { workWhenIdle } from './idle-work.ts';
import { BUILD, type LoadedModel, loadModel } from './loaded-model.ts';
import type { EmberEngineOptions } from './options.ts';

/** What the process was started with. */
export interface Start {
  readonly directory: string | undefined;
  readonly ranks: number;
  /** As many compute threads, which wait for their weights. */
  readonly threads: RankThreads;
  /** Where adapters may be read from. */
  readonly adaptersDirectory: string | null;
}

let start: Start;
let channel: ParentChannel;
let asked = false;
let model: LoadedModel | undefined;

/** One model, driven over the worker protocol (docs/spec/engines.md §1.4). */
export function serveModel(given: Start): void {
  start = given;
  channel = openParentChannel(receive);
  process.on('SIGTERM', () => process.exit(0));
  process.on('uncaughtException', (error) => crash(error));
  channel.send({ kind: 'hello', version: PROTOCOL_VERSION, build: BUILD, device: 'cpu' });
}

function receive(message: ToWorker): void {
  switch (message.kind) {
    case 'load':
      if (!asked) void load(message.options);
      asked = true;
      break;
    case 'generate':
      answer({ sequence: message.sequence }, (loaded) => {
        loaded.generate(message.sequence, message.request as GenerateRequest, message.credit)?.catch(refuse({ sequence: message.sequence }));
      });
      break;
    case 'cancel':
      model?.cancel(message.sequence);
      break;
    case 'credit':
      model?.credit(message.sequence, message.tokens);
      break;
    case 'stop':
      process.exit(0);
      break;
    case 'threads':
      answer({ id: message.id }, (loaded) => {
        void loaded.setThreads(message.threads).then(() => channel.send({ kind: 'reply', id: message.id, value: null }), crash);
      });
      break;
    case 'adapter-load':
    case 'adapter-unload':
    case 'adapter-list':
      answer({ id: message.id }, (loaded) => {
        void adapters(loaded, message).then((value) => channel.send({ kind: 'reply', id: message.id, value: value ?? null }), refuse({ id: message.id }));
      });
      break;
    case 'tokenize':
      answer({ id: message.id }, (loaded) => {
        void tokenise(loaded, message).then((value) => channel.send({ kind: 'reply', id: message.id, value }), refuse({ id: message.id }));
      });
      break;
    case 'embed':
    case 'rerank':
    case 'score':
      answer({ id: message.id }, (loaded) => {
        void vectors(loaded, message).then((value) => channel.send({ kind: 'reply', id: message.id, value }), refuse({ id: message.id }));
      });
      break;
    default:
      answer({ id: message.id }, (loaded) => channel.send({ kind: 'reply', id: message.id, value: question(loaded, message) }));
  }
}

async function load(options: Record<string, unknown>): Promise<void> {
  try {
    const { directory } = start;
    if (directory === undefined) throw new HearthError('internal_error', 'The worker was started without --model-directory.');
    model = await loadModel({
      ...start,
      directory,
      // Checked by the engine, which starts this process, before it sends them.
      options: options as EmberEngineOptions,
      send: (message) => channel.send(message),
      onFailure: crash,
    });
    channel.send({ kind: 'ready', report: model.report });
    workWhenIdle(model.prepare(), busy);
  } catch (error) {
    const { code, message } = toHearthError(error);
    channel.send({ kind: 'error', code, message });
  }
  // Until now this thread was never busy for long.
  channel.watchParent();
}

function busy(): boolean {
  const { running, waiting } = model!.stats();
  return running + waiting > 0;
}

type VectorQuestion = Extract<ToWorker, { kind: 'embed' | 'rerank' | 'score' }>;
type AdapterQuestion = Extract<ToWorker, { kind: 'adapter-load' | 'adapter-unload' | 'adapter-list' }>;
type Question = Exclude<Extract<ToWorker, { id: number }>, VectorQuestion | AdapterQuestion | { kind: 'threads' | 'tokenize' }>;

function vectors(loaded: LoadedModel, message: VectorQuestion): Promise<unknown> {
  if (message.kind === 'embed') return loaded.vectors.embed(message);
  return message.kind === 'rerank' ? loaded.vectors.rerank(message) : loaded.vectors.score(message);
}

async function adapters(loaded: LoadedModel, message: AdapterQuestion): Promise<unknown> {
  if (message.kind === 'adapter-load') return loaded.adapters.load(message.name, message.directory);
  return message.kind === 'adapter-list' ? loaded.adapters.list() : loaded.adapters.unload(message.name);
}

async function tokenise(loaded: LoadedModel, message: Extract<ToWorker, { kind: 'tokenize' }>): Promise<readonly number[]> {
  if (message.messages !== undefined)
    return loaded.encode(promptInput(loaded.text, message as unknown as Parameters<typeof promptInput>[1], loaded.vocabularySize));
  const addBos = (message.addSpecial ?? false) && loaded.text.tokenizer.addBos;
  return loaded.encode({ segments: [{ text: message.text ?? '', special: message.parseSpecial ?? true }], addBos });
}

function question(loaded: LoadedModel, message: Question): unknown {
  const { tokenizer, renderer } = loaded.text;
  switch (message.kind) {
    case 'detokenize':
      return tokenizer.decode(message.tokens, { skipSpecial: false });
    case 'template':
      return renderer
        .render(message.messages as GenerateRequest['messages'] & object, message.templateArguments)
        .map((segment) => segment.text)
        .join('');
    case 'stats':
      return loaded.stats();
    case 'end-reasoning':
      return loaded.endReasoning(message.sequence);
    case 'clear':
      loaded.clear();
      return null;
    case 'health':
      return null;
  }
}

/** A request that cannot be done is told to its asker; it never ends the process. */
function answer(to: { sequence: number } | { id: number }, work: (loaded: LoadedModel) => void): void {
  try {
    if (model === undefined) throw new HearthError('model_load_failed', 'The model is not loaded.');
    work(model);
  } catch (error) {
    refuse(to)(error);
  }
}

function refuse(to: { sequence: number } | { id: number }): (error: unknown) => void {
  return (error) => {
    const { code, message, details } = toHearthError(error);
    const param = details?.['param'];
    channel.send({ kind: 'error', ...to, code, message, ...(typeof param === 'string' ? { param } : {}) });
  };
}

/** The stack for the log, then the reason as the last line, which the parent tells its client. */
function crash(error: unknown): void {
  const { stack, message } = error instanceof Error ? error : new Error(String(error));
  process.stderr.write(`${stack ?? ''}\n${message}\n`, () => process.exit(1));
}
