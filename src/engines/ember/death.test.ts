import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { never, request, startEngine, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { createFakeEngine } from '../../../test/support/fake-engine.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import { hasEnded } from '../../../test/support/process-state.ts';
import type { GenerateEvent } from '../../contract/index.ts';
import { createEmberEngine } from './ember-engine.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const convertedDirectory = join(home.path, 'converted');
const engine = createEmberEngine({ convertedDirectory, limits: { healthMs: 500 } });
const { facts } = makeGoldenModel(join(home.path, 'model'), { config: { max_position_embeddings: 4_096 } });
const OPTIONS = { contextTokens: 4_096, threads: 1 };
const LONG = { prompt: 'x'.repeat(1_000), sampling: { ...request().sampling, temperature: 1, seed: 3 } };

describe('[engines E42] the death of a child', () => {
  test.each(['SIGKILL', 'SIGABRT', 'SIGSEGV'] as const)('by %s is told to its requests with the cause, and leaves nothing', async (signal) => {
    await using running = await startEngine(engine, facts, OPTIONS);
    const { pid } = running.child;
    const events: GenerateEvent[] = [];
    const streams = Array.from({ length: 8 }, async () => {
      for await (const event of running.session.generate(request(LONG), never)) {
        if (event.kind === 'prefill-progress' || event.kind === 'text-delta') process.kill(pid, signal);
        if (event.kind === 'error' || event.kind === 'end') events.push(event);
      }
    });
    const vectors = running.session.embed([new Array<number>(3_000).fill(70)]).catch((error: Error) => error);
    await Promise.all(streams);
    expect(events.filter((event) => event.kind === 'error').length).toBeGreaterThan(0);
    for (const event of events) if (event.kind === 'error') expect(event).toMatchObject({ code: 'engine_crashed', message: expect.stringContaining(signal) });
    expect(await vectors).toMatchObject({ code: 'engine_crashed' });
    expect((await running.session.closed).reason).toContain(signal);
    expect(await running.child.channel.exited).toMatchObject({ signal });
    expect(await hasEnded(pid)).toBe(true);
    await expect(running.session.tokenize({ text: 'x', addSpecial: false, parseSpecial: false })).rejects.toMatchObject({ code: 'engine_crashed' });
  });

  test('one that is stopped shows no health, and is killed like any other', async () => {
    await using running = await startEngine(engine, facts, OPTIONS);
    const { pid } = running.child;
    expect(await running.session.health()).toEqual({ ok: true });
    process.kill(pid, 'SIGSTOP');
    const answer = running.ask({ maxTokens: 4 });
    expect(await running.session.health()).toEqual({ ok: false });
    running.child.kill();
    expect((await answer).error).toMatchObject({ code: 'engine_crashed', message: expect.stringContaining('SIGKILL') });
    expect(await hasEnded(pid)).toBe(true);
  });

  test('one that closes its channel and stays is ended, with that as the cause', async () => {
    await using running = await startEngine(createFakeEngine({ dropChannelAfterTokens: 2 }), { ...facts, architecture: 'fake' });
    const answer = await running.ask({ prompt: 'a b c d e f' });
    expect(answer.error).toMatchObject({ code: 'engine_protocol', message: expect.stringContaining('channel') });
    expect(await hasEnded(running.child.pid)).toBe(true);
  });

  test.each([false, true])('follows that of its parent, however it died (busy: %s)', async (busy) => {
    const program = join(import.meta.dirname, '../../../test/support/engine-parent.ts');
    const parent = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'pipe'] });
    const errors: string[] = [];
    parent.stderr.on('data', (bytes: Buffer) => errors.push(bytes.toString()));
    parent.stdin.end(JSON.stringify({ facts, convertedDirectory, busy }));
    const pid = await new Promise<number>((resolve, reject) => {
      parent.stdout.once('data', (bytes: Buffer) => resolve(Number(bytes.toString())));
      parent.once('exit', () => reject(new Error(errors.join(''))));
    });
    expect(process.kill(pid, 0)).toBe(true);
    parent.kill('SIGKILL');
    expect(await hasEnded(pid, 2_000)).toBe(true);
  });
});
