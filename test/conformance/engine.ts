import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { GenerateEvent, GenerateRequest } from '../../src/contract/index.ts';
import type { ModelFacts } from '../../src/core/index.ts';
import type { Engine } from '../../src/engines/index.ts';
import { GREEDY, never, type RunningEngine, request, startEngine, user } from '../support/engine-run.ts';

/** What a subject may lack; each with the reason, which is printed with the skipped test. */
export type Capability =
  | 'golden'
  | 'sampling'
  | 'bias'
  | 'clipped limits'
  | 'exact tokenizer'
  | 'logprobs'
  | 'grammar'
  | 'prefix cache'
  | 'embeddings'
  | 'rerank'
  | 'adapters'
  | 'score'
  /** A child process that is started, fed and ended; with it the loads and the counts of steps. */
  | 'process';

export interface EngineSubject {
  readonly name: string;
  /** Sequences that are in work; absent: as the session's statistics say. */
  readonly running?: () => Promise<number>;
  /** Runs once before the tests. */
  setUp():
    | { readonly engine: Engine; readonly facts: ModelFacts; readonly options: Record<string, unknown>; readonly url?: URL }
    | Promise<{ readonly engine: Engine; readonly facts: ModelFacts; readonly options: Record<string, unknown>; readonly url?: URL }>;
  /** A prompt and what a reference continues it with; its text holds a character of several tokens. */
  readonly golden?: () => { readonly prompt: readonly number[]; readonly text: string; readonly tokens: number };
  /** Directory of an adapter of its model, as its sessions take it. */
  readonly adapter?: () => string;
  /** A prompt whose answer takes a while. */
  readonly longPrompt: string;
  readonly lacks: Partial<Readonly<Record<Capability, string>>>;
  /** The same engine with faults; only the fake can be told to misbehave. */
  readonly faulty?: Readonly<Record<'failing' | 'dying' | 'stalling' | 'garbling' | 'deaf', () => Engine>>;
}

const LONG = { ...GREEDY, temperature: 1, seed: 11 };

/** docs/spec/engines.md §8 for what exists today: one suite for every engine and for the fake. */
export function describeEngine(subject: EngineSubject): void {
  const given = (capability: Capability, title: string, body: () => Promise<void>): void => {
    const reason = subject.lacks[capability];
    if (reason === undefined) test(title, body);
    else test.skip(`${title} (skipped: ${reason})`, body);
  };

  describe(`engine ${subject.name}`, () => {
    let engine: Engine;
    let facts: ModelFacts;
    let options: Record<string, unknown>;
    let running: RunningEngine;
    const progress: number[] = [];

    beforeAll(async () => {
      const set = await subject.setUp();
      ({ engine, facts, options } = set);
      running = await startEngine(engine, facts, options, set.url);
    });
    afterAll(async () => running?.[Symbol.asyncDispose]());

    test('names itself, says what it can run, and describes a process without secrets', async () => {
      expect(engine.id).toMatch(/^[a-z]+$/);
      expect(await engine.probe(never)).toMatchObject({ available: true });
      expect(engine.canRun(facts)['text']).toEqual({ ok: true, engine: engine.id, reason: null });
      expect(engine.capabilities(facts, options).contextTokens).toBeGreaterThan(0);
      const estimate = engine.estimate(facts, options);
      for (const bytes of Object.values(estimate)) expect(bytes).toBeGreaterThanOrEqual(0);
    });

    given('process', 'reports what was loaded, with measured memory', async () => {
      expect(running.report.measured.weightsBytes).toBeGreaterThan(0);
      expect(running.report).toMatchObject({ contextTokens: engine.capabilities(facts, options).contextTokens, parallelSequences: expect.any(Number) });
    });

    given('process', 'tells the progress of a load, which never goes back', async () => {
      const prepared = await engine.prepare(facts, () => {}, never);
      const spec = engine.processSpec(prepared, options);
      expect(spec).not.toBeNull();
      await using second = await startEngine(
        { ...engine, connect: async (channel, signal) => withProgress(await engine.connect(channel, signal), progress) },
        facts,
        options,
      );
      expect(second.report.version).toBe(running.report.version);
      expect(progress.length).toBeGreaterThan(0);
      expect(progress).toEqual([...progress].sort((a, b) => a - b));
    });

    test('refuses unknown options, naming them', () => {
      const parsed = engine.optionsSchema.safeParse({ ...options, port: 8_000 });
      expect(JSON.stringify(parsed.error?.issues)).toContain('port');
    });

    test('events come in the canonical order, with counts', async () => {
      const answer = await running.ask({ maxTokens: 4 });
      const kinds = answer.events.map((event) => event.kind).filter((kind) => kind !== 'prefill-progress');
      expect(kinds[0]).toBe('start');
      expect(kinds.slice(-3)).toEqual(['finish', 'usage', 'end']);
      expect(kinds.slice(1, -3).every((kind) => kind === 'text-delta')).toBe(true);
      expect(answer.finish?.reason).toBe('length');
      expect(answer.usage).toMatchObject({ completionTokens: 4, cachedTokens: 0, promptTokens: expect.any(Number) });
      // Who asks over HTTP learns the count with the last event.
      if (subject.lacks.process === undefined) expect(answer.events[0]).toMatchObject({ promptTokens: answer.usage?.promptTokens });
    });

    given('golden', 'a greedy continuation equals the golden, and its split characters come whole', async () => {
      const golden = subject.golden!();
      const answer = await running.ask({ tokens: golden.prompt, maxTokens: golden.tokens });
      expect(answer.text).toBe(golden.text);
      for (const event of answer.events) if (event.kind === 'text-delta') expect(event.text).not.toContain('\uFFFD');
    });

    test('a stop string ends the answer, at its first place, and is not shown', async () => {
      const whole = (await running.ask({ maxTokens: 12 })).text;
      const stop = whole.slice(4, 6);
      const answer = await running.ask({ maxTokens: 12, stop: ['never there', stop] });
      expect(answer.finish).toMatchObject({ reason: 'stop', stopString: stop });
      expect(answer.text).toBe(whole.slice(0, whole.indexOf(stop)));
    });

    test('several choices come with their index, and the prompt is counted once', async () => {
      const one = await running.ask({ maxTokens: 3 });
      const three = await running.ask({ maxTokens: 3, choices: 3 });
      expect(three.texts).toHaveLength(3);
      expect(three.events.filter((event) => event.kind === 'finish').map((event) => event.choice)).toEqual(expect.arrayContaining([0, 1, 2]));
      expect(three.usage).toMatchObject({ promptTokens: one.usage?.promptTokens, completionTokens: 9 });
    });

    test('a prompt without room is refused with both counts before any token', async () => {
      const { contextTokens } = running.report;
      const tooLong = await running.ask({ prompt: 'word '.repeat(contextTokens + 1) });
      expect(tooLong.events).toHaveLength(1);
      expect(tooLong.error).toMatchObject({ code: 'context_length_exceeded', message: expect.stringContaining(String(contextTokens)) });
    });

    given('clipped limits', 'max_tokens is clipped to the room', async () => {
      const { contextTokens } = running.report;
      const clipped = await running.ask({ maxTokens: 1_000_000, prompt: 'x', sampling: LONG });
      expect((clipped.usage?.completionTokens ?? 0) + (clipped.usage?.promptTokens ?? 0)).toBeLessThanOrEqual(contextTokens);
    });

    given('sampling', '[engines E24] a seed gives its text again, another seed another text, and three choices are three streams', async () => {
      const sampling = { ...GREEDY, temperature: 1.2, seed: 5 };
      const first = (await running.ask({ maxTokens: 24, sampling })).text;
      expect((await running.ask({ maxTokens: 24, sampling })).text).toBe(first);
      expect((await running.ask({ maxTokens: 24, sampling: { ...sampling, seed: 6 } })).text).not.toBe(first);
      const three = await running.ask({ maxTokens: 24, sampling, choices: 3 });
      expect(new Set(three.texts).size).toBe(3);
      expect(three.texts[0]).toBe(first);
      const unseeded = { ...GREEDY, temperature: 1.2 };
      expect((await running.ask({ maxTokens: 24, sampling: unseeded })).text).not.toBe((await running.ask({ maxTokens: 24, sampling: unseeded })).text);
    });

    given('bias', 'a bias of 100 forces a token and −100 bans it', async () => {
      const [id] = await running.session.tokenize({ text: '7', addSpecial: false, parseSpecial: false });
      const forced = await running.ask({ maxTokens: 5, sampling: { ...GREEDY, logitBias: { [id!]: 100 } } });
      expect(forced.text).toBe('77777');
      const banned = await running.ask({ maxTokens: 20, sampling: { ...LONG, logitBias: { [id!]: -100 } } });
      expect(banned.text).not.toContain('7');
      expect((await running.ask({ sampling: { ...GREEDY, logitBias: { 9999999: 1 } } })).error).toMatchObject({ code: 'invalid_value' });
    });

    test('prompts of different lengths that run together give what each gives alone', async () => {
      const prompts = ['a', 'one two three four five', 'x '.repeat(60), 'zebra'];
      const alone: string[] = [];
      for (const prompt of prompts) alone.push((await running.ask({ prompt, maxTokens: 10 })).text);
      const together = await Promise.all(prompts.map((prompt) => running.ask({ prompt, maxTokens: 10 })));
      expect(together.map((answer) => answer.text)).toEqual(alone);
    });

    test('a cancelled request ends with its error, and its sequence is free', async () => {
      const abort = new AbortController();
      const events: GenerateEvent[] = [];
      for await (const event of running.session.generate(request({ sampling: LONG, prompt: subject.longPrompt }), abort.signal)) {
        events.push(event);
        abort.abort();
      }
      expect(events.at(-1)).toMatchObject({ kind: 'error', code: 'cancelled' });
      const left = subject.running ?? (async () => (await running.session.stats()).running);
      await expect.poll(left).toBe(0);
    });

    test('tokens become text again', async () => {
      const text = 'Grüße, 世界 🌍!';
      const tokens = await running.session.tokenize({ text, addSpecial: false, parseSpecial: false });
      expect(await running.session.detokenize(tokens)).toBe(text);
    });

    test('a conversation is rendered, tokenised and answered', async () => {
      const messages = user('Hello')!;
      expect(await running.session.applyTemplate(messages)).toContain('Hello');
      expect((await running.session.tokenize({ messages })).length).toBeGreaterThan(0);
      expect((await running.ask({ messages, maxTokens: 3 })).finish).toBeDefined();
    });

    given('process', 'health and statistics answer while it generates', async () => {
      const before = await running.session.stats();
      const stream = running.session.generate(request({ sampling: LONG, prompt: subject.longPrompt }), never);
      for await (const event of stream) {
        if (event.kind !== 'text-delta') continue;
        expect(await running.session.health()).toEqual({ ok: true });
        break;
      }
      const after = await running.session.stats();
      expect(after.generatedTokens).toBeGreaterThan(before.generatedTokens);
      expect(after.steps).toBeGreaterThan(before.steps);
    });

    given('process', 'fewer threads give the same text', async () => {
      const before = (await running.ask({ maxTokens: 8 })).text;
      await running.session.setThreads(1);
      expect((await running.ask({ maxTokens: 8 })).text).toBe(before);
      await running.session.setThreads(running.report.ranks);
    });

    given(
      'logprobs',
      'log probabilities are those of the raw logits: equal to the scores, whatever the sampling is, and their tokens join to the text',
      async () => {
        const prompt = await running.session.tokenize({ text: 'one two three', addSpecial: false, parseSpecial: false });
        const told = async (sampling: GenerateRequest['sampling']) => {
          const answer = await running.ask({ tokens: prompt, maxTokens: 6, logprobs: 3, sampling });
          return { answer, tokens: answer.events.flatMap((event) => (event.kind === 'text-delta' ? (event.logprobs ?? []) : [])) };
        };
        const { answer, tokens } = await told(GREEDY);
        expect(tokens).toHaveLength(6);
        expect(tokens.map(({ token }) => token).join('')).toBe(answer.text);
        for (const { id, logprob, top } of tokens) {
          expect(top).toHaveLength(3);
          expect(top[0]).toMatchObject({ id, logprob });
          expect(top.map((each) => each.logprob)).toEqual(top.map((each) => each.logprob).sort((a, b) => b - a));
        }
        const scores = await running.session.score([...prompt, ...tokens.map(({ id }) => id)]);
        for (const [i, { logprob }] of tokens.entries()) expect(logprob).toBeCloseTo(scores[prompt.length - 1 + i]!, 3);
        const bent = await told({ ...GREEDY, temperature: 1.5, seed: 4, repetitionPenalty: 1.5, logitBias: { [tokens[0]!.id]: -5 } });
        expect(bent.tokens[0]!.top.map(({ id }) => id)).toEqual(tokens[0]!.top.map(({ id }) => id));
        for (const [i, { logprob }] of bent.tokens[0]!.top.entries()) expect(logprob).toBeCloseTo(tokens[0]!.top[i]!.logprob, 4);
      },
    );
    given('grammar', 'a grammar constrains the answer, beside others that are free', async () => {
      const free = (await running.ask({ maxTokens: 12 })).text;
      const format = { kind: 'grammar', text: 'root ::= ("ab" | "cd") [0-9] "!"' } as const;
      const asked = Array.from({ length: 6 }, (_, seed) => running.ask({ format, maxTokens: 12, sampling: { ...GREEDY, temperature: 1, seed } }));
      const [beside, ...answers] = await Promise.all([running.ask({ maxTokens: 12 }), ...asked]);
      expect(beside!.text).toBe(free);
      for (const { text, finish } of answers) {
        expect(text).toMatch(/^(ab|cd)[0-9]!$/);
        expect(finish).toMatchObject({ reason: 'stop' });
      }
      const cut = await running.ask({ format, maxTokens: 2 });
      expect([cut.text, cut.finish?.reason]).toEqual([cut.text.slice(0, 2), 'length']);
      expect((await running.ask({ format: { kind: 'grammar', text: 'root ::= other' } })).error).toBeDefined();
    });
    given('prefix cache', 'a common prefix is evaluated once, and the answer is as before', async () => {
      const prompt = 'the same beginning '.repeat(8);
      const first = await running.ask({ prompt, maxTokens: 6, cacheSalt: 'key' });
      const second = await running.ask({ prompt, maxTokens: 6, cacheSalt: 'key' });
      expect(first.usage?.cachedTokens).toBe(0);
      expect(second.usage?.cachedTokens).toBeGreaterThan(0);
      expect(second.text).toBe(first.text);
    });
    given('embeddings', 'embeddings have length 1, and are the same alone and together', async () => {
      const texts = ['one', 'two words', 'x '.repeat(60), '一二三'];
      const alone: Float32Array[] = [];
      for (const text of texts) alone.push((await running.session.embed([text])).vectors[0]!);
      const together = await running.session.embed(texts);
      expect(together.promptTokens).toHaveLength(texts.length);
      for (const [i, vector] of together.vectors.entries()) {
        expect(Math.hypot(...vector)).toBeCloseTo(1, 4);
        expect(dot(vector, alone[i]!)).toBeCloseTo(1, 4);
        expect(dot(vector, together.vectors[(i + 1) % texts.length]!)).toBeLessThan(0.9999);
      }
    });
    given('rerank', 'documents come in the order of their relevance', async () => {
      const query = 'the same text';
      const { scores, promptTokens } = await running.session.rerank(query, ['another one', query, '!!!']);
      expect(scores.indexOf(Math.max(...scores))).toBe(1);
      expect(promptTokens).toBeGreaterThan(0);
    });
    given('adapters', 'an adapter changes the answer, at a scale of 0 and without it the answer is as before', async () => {
      const { adapters } = running.session;
      const before = (await running.ask({ maxTokens: 12 })).text;
      const report = await adapters.load('mine', subject.adapter!());
      expect(report.memoryBytes).toBeGreaterThan(0);
      expect(await adapters.list()).toEqual([report]);
      const asks = [{}, { adapter: { name: 'mine', scale: 1 } }, { adapter: { name: 'mine', scale: 0 } }].map((more) =>
        running.ask({ maxTokens: 12, ...more }),
      );
      const [without, one, none] = (await Promise.all(asks)).map(({ text }) => text);
      expect([without, none]).toEqual([before, before]);
      expect(one).not.toBe(before);
      await adapters.unload('mine');
      expect((await running.ask({ adapter: { name: 'mine', scale: 1 } })).error).toMatchObject({ code: 'adapter_not_found' });
      await expect(adapters.load('x', 'nowhere')).rejects.toMatchObject({ code: expect.stringMatching(/^adapter_/) });
      expect([(await running.ask({ maxTokens: 12 })).text, await adapters.list()]).toEqual([before, []]);
    });
    given('score', 'given tokens are scored in one pass: the greedy continuation is likelier than any change of it', async () => {
      const golden = subject.golden!();
      const continued = await running.session.tokenize({ text: golden.text.slice(0, 4), addSpecial: false, parseSpecial: false });
      const likely = await running.session.score([...golden.prompt, ...continued]);
      expect(likely).toHaveLength(golden.prompt.length + continued.length - 1);
      expect(Math.max(...likely)).toBeLessThanOrEqual(0);
      const changed = await running.session.score([...golden.prompt, ...continued.map((id) => (id + 1) % 200)]);
      for (const at of [golden.prompt.length - 1]) expect(likely[at]).toBeGreaterThan(changed[at]!);
    });

    test('what it cannot do is refused, not emulated', async () => {
      if (subject.lacks.embeddings !== undefined) await expect(running.session.embed(['x'])).rejects.toMatchObject({ code: 'not_implemented' });
      if (subject.lacks.adapters !== undefined) await expect(running.session.adapters.load('x', 'x')).rejects.toMatchObject({ code: 'not_implemented' });
      if (subject.lacks.score !== undefined) await expect(running.session.score([1, 2])).rejects.toMatchObject({ code: 'not_implemented' });
    });

    given('process', 'SIGKILL of the child is told to the requests that run, and nothing is left', async () => {
      await using doomed = await startEngine(engine, facts, options);
      // So many that most are still to be done when the first text comes: the kill lands in the middle, however fast the model is.
      const requests = Array.from({ length: 32 }, () => doomed.session.generate(request({ sampling: LONG, prompt: subject.longPrompt }), never));
      const streams = await Promise.all(
        requests.map(async (stream) => {
          const events: GenerateEvent[] = [];
          for await (const event of stream) {
            if (event.kind === 'text-delta') doomed.child.kill();
            events.push(event);
          }
          return events;
        }),
      );
      const cut = streams.filter((events) => events.at(-1)?.kind !== 'end');
      for (const events of cut) expect(events.at(-1)).toMatchObject({ kind: 'error', code: 'engine_crashed' });
      expect(cut.some((events) => events.some((event) => event.kind === 'text-delta'))).toBe(true);
      expect((await doomed.session.closed).reason).toContain('SIGKILL');
      expect(await doomed.child.channel.exited).toMatchObject({ signal: 'SIGKILL' });
    });

    given('process', 'close ends the child by itself', async () => {
      await using closing = await startEngine(engine, facts, options);
      await closing.session.close();
      expect(await closing.child.channel.exited).toMatchObject({ code: 0, signal: null });
    });

    const faulty = subject.faulty;
    const fault = (title: string, body: (engines: NonNullable<EngineSubject['faulty']>) => Promise<void>): void => {
      if (faulty !== undefined) test(title, () => body(faulty));
      else test.skip(`${title} (skipped: only the fake engine can be told to misbehave)`, () => {});
    };
    fault('a failed load gives the reason of the worker', async (engines) => {
      await expect(startEngine(engines.failing(), facts, options)).rejects.toMatchObject({
        code: 'model_load_failed',
        message: expect.stringContaining('told to fail'),
      });
    });
    fault('a child that dies in the middle is told', async (engines) => {
      await using dying = await startEngine(engines.dying(), facts, options);
      expect((await dying.ask()).error).toMatchObject({ code: 'engine_crashed' });
    });
    fault('a message that is none ends the child', async (engines) => {
      await using garbling = await startEngine(engines.garbling(), facts, options);
      expect((await garbling.ask()).error).toMatchObject({ code: 'engine_protocol' });
    });
    fault('a child that stalls still answers about its health, and shows no progress', async (engines) => {
      await using stalling = await startEngine(engines.stalling(), facts, options);
      const events: GenerateEvent[] = [];
      const abort = new AbortController();
      for await (const event of stalling.session.generate(request(), abort.signal)) {
        events.push(event);
        if (event.kind !== 'text-delta') continue;
        expect(await stalling.session.health()).toEqual({ ok: true });
        const { steps } = await stalling.session.stats();
        expect((await stalling.session.stats()).steps).toBe(steps);
        abort.abort();
      }
      expect(events.at(-1)).toMatchObject({ code: 'cancelled' });
    });
    fault('a child that ignores SIGTERM is killed after the grace time', async (engines) => {
      await using deaf = await startEngine(engines.deaf(), facts, options);
      expect(await deaf.child.stop()).toEqual({ method: 'forced' });
    });
  });
}

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

/** The session with its load progress written down. */
function withProgress(session: Awaited<ReturnType<Engine['connect']>>, seen: number[]): Awaited<ReturnType<Engine['connect']>> {
  return {
    ...session,
    load: (options, onProgress, signal) =>
      session.load(
        options,
        (done, total) => {
          seen.push(done);
          onProgress(done, total);
        },
        signal,
      ),
  };
}
