import { basename } from 'node:path';
import type { Client } from '../../client/index.ts';
import { BENCH_SCHEMA_VERSION, type BenchLine, endpoints, type ShowData } from '../../contract/index.ts';
import type { Context } from '../context.ts';
import { toCliError } from '../errors.ts';
import { answer } from '../generate/answer.ts';
import { type ReadyModel, readyModel } from '../generate/ready-model.ts';
import type { MachineFacts } from './machine-facts.ts';
import { decodeRate, type MeasuredAnswer, makePrompt, measureAnswer } from './measure.ts';
import { round } from './statistics.ts';
import type { CaseResult, CaseWork, SuiteCase, SuiteName } from './suite-case.ts';
import { CONCURRENT_CASES } from './suite-concurrent.ts';

/** Marks that end an answer and must never be read in it. */
const END_MARKS = ['</s>', '<|endoftext|>', '<|im_end|>', '<|eot_id|>', '<end_of_turn>', '<|end|>', '<eos>'];

const SMOKE_CASES: readonly SuiteCase[] = [
  {
    name: 'prompt',
    async run({ prompt, ask, ready }) {
      const tokens = Math.min(512, Math.floor((ready.model.contextTokens ?? 1024) / 2));
      const found = await ask(await prompt(tokens, 'to be read'), 8);
      return { passed: found.completionTokens > 0, performance: performanceOf(found) };
    },
  },
  {
    name: 'stream',
    async run({ prompt, ask }) {
      const sentAt = performance.now();
      const found = await ask(await prompt(32, 'to go on with'), 64);
      const firstMs = found.firstTokenMs ?? found.totalMs;
      return {
        passed: found.completionTokens > 0 && found.firstTokenMs !== null,
        performance: performanceOf(found),
        timeline: { request_sent_ms: 0, first_token_ms: round(firstMs), stream_complete_ms: round(Math.min(found.totalMs, performance.now() - sentAt)) },
      };
    },
  },
  {
    name: 'stop-token',
    async run({ client, context, ready }) {
      const settings = {
        model: ready.model.id,
        maxTokens: 128,
        temperature: 0,
        topP: 1,
        topK: undefined,
        minP: undefined,
        seed: undefined,
        repetitionPenalty: 1.1,
        adapter: undefined,
        adapterScale: undefined,
        stop: [],
        templateArguments: undefined,
        chatTemplate: true,
      };
      const reply = await answer(client, settings, [{ role: 'user', content: 'Say hello in one short sentence.' }], () => {}, context.signal);
      const detected = END_MARKS.filter((mark) => reply.text.includes(mark) || reply.reasoning.includes(mark));
      return {
        passed: detected.length === 0,
        stopTokens: { configured: END_MARKS, detected, leaked: detected.length > 0 },
        metadata: { finish_reason: reply.finishReason },
      };
    },
  },
];

export interface SuiteOrder {
  readonly context: Context;
  readonly client: Client;
  readonly facts: MachineFacts;
  readonly model: string;
  readonly suite: SuiteName;
  readonly onLine: (line: BenchLine) => void | Promise<void>;
}

/** Load, the cases, and the end of one model; one line each. A case that fails is a line, not an error. */
export async function runSuite(order: SuiteOrder): Promise<readonly BenchLine[]> {
  const { context, client, facts, model, suite } = order;
  const written: BenchLine[] = [];
  let shown: ShowData | null = null;
  let ready: ReadyModel | null = null;
  let leftOver = 0;

  async function record(name: string, work: (() => Promise<CaseResult>) | null): Promise<void> {
    const startedAt = Date.now();
    let result: CaseResult = { passed: false };
    try {
      if (work !== null) result = await work();
    } catch (error) {
      if (context.signal.aborted) throw error;
      const { code, message } = toCliError(error);
      result = { passed: false, metadata: { error: { code, message } } };
    }
    const outcome = work === null ? 'skipped' : result.passed ? 'passed' : 'failed';
    const line: BenchLine = {
      schema_version: BENCH_SCHEMA_VERSION,
      timestamp: new Date().toISOString(),
      mlx_knife_version: context.version,
      test: `bench/${suite}::${name}[${shown === null ? basename(model) : modelOf(shown).id}]`,
      outcome,
      test_start_ts: startedAt / 1000,
      test_end_ts: Date.now() / 1000,
      duration: round((Date.now() - startedAt) / 1000, 3),
      ...(shown === null ? {} : { model: modelOf(shown) }),
      ...(result.performance === undefined ? {} : { performance: result.performance }),
      ...(result.stopTokens === undefined ? {} : { stop_tokens: result.stopTokens }),
      system: facts.system,
      system_health: await facts.health(leftOver),
      ...(result.timeline === undefined ? {} : { timeline: result.timeline }),
      metadata: { inference_modality: 'text', producer: 'hearth', ...(ready === null ? {} : { engine: ready.model.engine }), ...result.metadata },
    };
    written.push(line);
    await order.onLine(line);
  }

  await record('load', async () => {
    ready = await readyModel(context, client, {
      name: model,
      check(found) {
        shown = found;
      },
    });
    const loadS = round(ready.loadMs / 1000, 3);
    const memory = ready.model.pid === null ? null : await facts.memory(ready.model.pid);
    return {
      passed: true,
      performance: { model_load_time_s: loadS, ...(memory === null ? {} : { stable_ram_gb: round(memory.nowBytes / 2 ** 30, 3) }) },
      timeline: { model_load_start_ms: 0, model_load_complete_ms: round(ready.loadMs) },
    };
  });
  const loaded = ready as ReadyModel | null;
  const work: CaseWork | null = loaded && {
    context,
    client,
    ready: loaded,
    prompt: (tokens, salt) => makePrompt(client, loaded.model.id, tokens, salt, context.signal),
    ask: (prompt, maxTokens, signal = context.signal) => measureAnswer(client, { model: loaded.model.id, prompt, maxTokens, signal }),
  };
  for (const { name, run } of suite === 'standard' ? [...SMOKE_CASES, ...CONCURRENT_CASES] : SMOKE_CASES)
    await record(name, work === null ? null : async () => withMemory(await run(work), await peakGb(facts, loaded)));
  await record(
    'cleanup',
    loaded === null
      ? null
      : () =>
          cleanUp(client, loaded, facts, (count) => {
            leftOver = count;
          }),
  );
  return written;
}

const peakGb = async (facts: MachineFacts, ready: ReadyModel | null): Promise<number | null> => {
  const memory = ready?.model.pid == null ? null : await facts.memory(ready.model.pid);
  return memory === null ? null : round(memory.peakBytes / 2 ** 30, 3);
};

const withMemory = (result: CaseResult, gb: number | null): CaseResult =>
  gb === null ? result : { ...result, performance: { ...result.performance, peak_ram_gb: gb } };

async function cleanUp(client: Client, { model }: ReadyModel, facts: MachineFacts, tell: (leftOver: number) => void): Promise<CaseResult> {
  const startedAt = performance.now();
  await client.call(endpoints.unloadModel, { body: { model: model.id } });
  const tookMs = performance.now() - startedAt;
  const gone = model.pid === null || (await facts.memory(model.pid)) === null;
  tell(gone ? 0 : 1);
  return { passed: gone, performance: { cleanup_time_s: round(tookMs / 1000, 3) }, timeline: { shutdown_request_ms: 0, cleanup_complete_ms: round(tookMs) } };
}

function performanceOf(found: MeasuredAnswer): NonNullable<BenchLine['performance']> {
  const rate = decodeRate(found);
  return {
    ...(rate === null ? {} : { tokens_per_sec: round(rate) }),
    duration_s: round(found.totalMs / 1000, 3),
    prompt_tokens: found.promptTokens,
    completion_tokens: found.completionTokens,
    ...(found.firstTokenMs === null ? {} : { time_to_first_token_s: round(found.firstTokenMs / 1000, 4) }),
  };
}

function modelOf({ model, metadata }: ShowData): NonNullable<BenchLine['model']> {
  return {
    // A workspace is named by its directory alone: reports travel.
    id: model.cached ? model.name : model.name.slice(model.name.lastIndexOf('/') + 1),
    size_gb: round(model.size_bytes / 1e9, 3),
    ...(metadata?.model_type ? { family: metadata.model_type } : {}),
    framework: model.framework,
    ...(metadata?.quantization ? { quantization: metadata.quantization } : {}),
  };
}
