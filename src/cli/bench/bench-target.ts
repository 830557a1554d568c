import type { Client } from '../../client/index.ts';
import { endpoints } from '../../contract/index.ts';
import type { Context } from '../context.ts';
import type { ReadyModel } from '../generate/ready-model.ts';
import { decodeRate, makePrompt, measureAnswer, promptRate } from './measure.ts';
import { mean, round, summary } from './statistics.ts';

export const PROMPT_TOKENS = 1024;
export const ANSWER_TOKENS = 100;

export interface Reference {
  readonly decodeTps: number;
  readonly promptTps: number | null;
}

export type SpeedClass = 'PASS' | 'WARN' | 'FAIL';

export interface BenchRun {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly time_to_first_token_s: number | null;
  readonly prompt_tps: number | null;
  readonly gen_tps: number | null;
}

export interface BenchData {
  readonly target: string;
  readonly model_id: string;
  readonly quant: string | null;
  readonly engine: string;
  readonly device: string | null;
  readonly profile_id: string;
  readonly load_s: number;
  readonly context_tokens: number;
  readonly iterations: number;
  readonly runs: readonly BenchRun[];
  readonly prompt_tps: { readonly mean: number; readonly deviation: number } | null;
  readonly gen_tps: { readonly mean: number; readonly deviation: number } | null;
  /** Peak of the engine's process, in GiB; null where the system does not tell. */
  readonly memory_gb: number | null;
  /** Decode speed against the catalog's; null without a reference for this machine. */
  readonly class: SpeedClass | null;
  readonly reference: Reference | null;
  /** Whether the model calls a function that it is offered; null: it takes none. */
  readonly calls_tools: boolean | null;
  readonly saved_to?: string;
}

export interface BenchOrder {
  readonly context: Context;
  readonly client: Client;
  readonly target: string;
  readonly ready: ReadyModel;
  readonly iterations: number;
  readonly quant: string | null;
  readonly profileId: string;
  readonly reference: Reference | null;
  readonly peakMemoryBytes: (pid: number) => Promise<number | null>;
}

/** Warm-up, then the same measurement `iterations` times (docs/spec/store.md §12). */
export async function benchTarget(order: BenchOrder): Promise<BenchData> {
  const { context, client, ready, iterations } = order;
  const { model } = ready;
  const contextTokens = model.contextTokens ?? 2 * PROMPT_TOKENS;
  const room = Math.max(2, contextTokens - 1);
  const answerTokens = Math.min(ANSWER_TOKENS, Math.floor(room / 2));
  const promptTokens = Math.min(PROMPT_TOKENS, room - answerTokens);
  const measure = async (salt: string, tokens: number) => {
    const prompt = await makePrompt(client, model.id, tokens, salt, context.signal);
    return await measureAnswer(client, { model: model.id, prompt, maxTokens: answerTokens, signal: context.signal });
  };
  await measure('of the warm-up', Math.min(64, promptTokens));
  const runs: BenchRun[] = [];
  for (let i = 1; i <= iterations; i += 1) {
    if (context.terminal.stderr) context.output.notice(`Run ${i} of ${iterations} …`);
    const answer = await measure(`${i} of ${iterations}`, promptTokens);
    runs.push({
      prompt_tokens: answer.promptTokens,
      completion_tokens: answer.completionTokens,
      time_to_first_token_s: answer.firstTokenMs === null ? null : round(answer.firstTokenMs / 1000, 4),
      prompt_tps: rounded(promptRate(answer)),
      gen_tps: rounded(decodeRate(answer)),
    });
  }
  const decode = present(runs.map((run) => run.gen_tps));
  const peak = model.pid === null ? null : await order.peakMemoryBytes(model.pid);
  return {
    target: order.target,
    model_id: model.id,
    quant: order.quant,
    engine: model.engine ?? 'unknown',
    device: model.device,
    profile_id: order.profileId,
    load_s: round(ready.loadMs / 1000, 3),
    context_tokens: contextTokens,
    iterations,
    runs,
    prompt_tps: summary(present(runs.map((run) => run.prompt_tps))),
    gen_tps: summary(decode),
    memory_gb: peak === null || peak <= 0 ? null : round(peak / 2 ** 30, 3),
    class: order.reference === null || decode.length === 0 ? null : classOf(mean(decode), order.reference.decodeTps),
    reference: order.reference,
    calls_tools: await probeTools(client, model.id, context.signal),
  };
}

/** PASS up to 15 % below the reference, WARN up to 30 %, FAIL beyond. */
export function classOf(measured: number, reference: number): SpeedClass {
  return measured >= 0.85 * reference ? 'PASS' : measured >= 0.7 * reference ? 'WARN' : 'FAIL';
}

async function probeTools(client: Client, model: string, signal: AbortSignal): Promise<boolean | null> {
  const weather = {
    name: 'get_weather',
    description: 'The weather in a city now.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  };
  const body = {
    model,
    messages: [{ role: 'user' as const, content: 'What is the weather in Paris? Use the tool.' }],
    tools: [{ type: 'function', function: weather }],
    max_tokens: 512,
    temperature: 0,
  };
  try {
    const { choices } = await client.call(endpoints.chatCompletions, { body }, { signal });
    return choices.some(({ message }) => message.tool_calls?.some((call) => call.function.name === 'get_weather') ?? false);
  } catch (error) {
    // The model has no place for tools: nothing to probe.
    if (error instanceof Error && 'code' in error && error.code === 'unsupported_parameter') return null;
    throw error;
  }
}

const present = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null);
const rounded = (value: number | null): number | null => (value === null ? null : round(value));
