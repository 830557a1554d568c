import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GenerateEvent, type GenerateRequest, GREEDY_SAMPLING, type SamplingOptions } from '../../src/contract/index.ts';
import type { ModelFacts } from '../../src/core/index.ts';
import type { Engine, EngineSession, LoadReport } from '../../src/engines/index.ts';
import { createSupervisor, type SupervisedProcess } from '../../src/supervisor/index.ts';

export const never: AbortSignal = new AbortController().signal;

export const GREEDY: SamplingOptions = GREEDY_SAMPLING;

export const request = (more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  requestId: 'test',
  ...(more.messages === undefined && more.tokens === undefined ? { prompt: 'one two three' } : {}),
  stop: [],
  choices: 1,
  sampling: GREEDY,
  ...more,
});

export const user = (text: string): GenerateRequest['messages'] => [{ role: 'user', content: [{ kind: 'text', text }] }];

export interface Answer {
  readonly text: string;
  readonly texts: readonly string[];
  readonly events: readonly GenerateEvent[];
  readonly finish: Extract<GenerateEvent, { kind: 'finish' }> | undefined;
  readonly usage: Extract<GenerateEvent, { kind: 'usage' }> | undefined;
  readonly error: Extract<GenerateEvent, { kind: 'error' }> | undefined;
}

/** A whole stream as data. `texts` holds the text of each choice. */
export async function collect(stream: AsyncIterable<GenerateEvent>): Promise<Answer> {
  const events: GenerateEvent[] = [];
  const texts: string[] = [];
  for await (const event of stream) {
    events.push(event);
    if (event.kind === 'text-delta') texts[event.choice] = (texts[event.choice] ?? '') + event.text;
  }
  const of = <K extends GenerateEvent['kind']>(kind: K) => events.find((event): event is Extract<GenerateEvent, { kind: K }> => event.kind === kind);
  return { text: texts[0] ?? '', texts, events, finish: of('finish'), usage: of('usage'), error: of('error') };
}

export interface RunningEngine extends AsyncDisposable {
  readonly session: EngineSession;
  readonly report: LoadReport;
  readonly child: SupervisedProcess;
  ask(more?: Partial<GenerateRequest>, signal?: AbortSignal): Promise<Answer>;
}

/** prepare → spawn → connect → load. */
export async function startEngine(engine: Engine, facts: ModelFacts, options: unknown = {}, url?: URL): Promise<RunningEngine> {
  const supervisor = createSupervisor();
  try {
    const prepared = await engine.prepare(facts, () => {}, never, options);
    const spec = engine.processSpec(prepared, options);
    const child = spec === null ? null : await supervisor.start(spec);
    if (child === null && url === undefined) throw new TypeError('this engine has neither a process nor a URL');
    const session = await engine.connect(child?.channel ?? url!, never);
    const report = await session.load(options, () => {}, never);
    return {
      session,
      report,
      get child() {
        if (child === null) throw new TypeError('this engine has no process');
        return child;
      },
      ask: (more, signal) => collect(session.generate(request(more), signal ?? never)),
      [Symbol.asyncDispose]: () => supervisor[Symbol.asyncDispose](),
    };
  } catch (error) {
    await supervisor[Symbol.asyncDispose]();
    throw error;
  }
}

export function temporaryDirectory(): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'hearth-test-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
