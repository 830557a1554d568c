import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { createFakeEngine, type FakeEngineFlags, fakeProcessSpec } from '../../../test/support/fake-engine.ts';
import { hasEnded, isRunning } from '../../../test/support/process-state.ts';
import { type GenerateEvent, type GenerateRequest, GREEDY_SAMPLING } from '../../contract/index.ts';
import { createSupervisor } from '../../supervisor/index.ts';

const request = (more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  requestId: 'r',
  prompt: 'one two three',
  stop: [],
  choices: 1,
  sampling: GREEDY_SAMPLING,
  ...more,
});
const never = new AbortController().signal;
const open = async (flags: FakeEngineFlags = {}) => {
  const supervisor = createSupervisor();
  const child = await supervisor.start(fakeProcessSpec(flags));
  const session = await createFakeEngine(flags).connect(child.channel, never);
  return { child, session, [Symbol.asyncDispose]: () => supervisor[Symbol.asyncDispose]() };
};
const all = async (events: AsyncIterable<GenerateEvent>): Promise<GenerateEvent[]> => {
  const seen: GenerateEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
};

describe('a session over a worker', () => {
  test('gives events in the canonical order', async () => {
    await using it = await open();
    await it.session.load({}, () => {}, never);
    const events = await all(it.session.generate(request(), never));
    expect(events.map((event) => event.kind)).toEqual([
      'start',
      'prefill-progress',
      'text-delta',
      'text-delta',
      'text-delta',
      'text-delta',
      'finish',
      'usage',
      'end',
    ]);
  });

  test('reports why a worker died, to every request that runs', async () => {
    await using it = await open({ dieAfterTokens: 3, tokenMs: 1 });
    await it.session.load({}, () => {}, never);
    const both = await Promise.all([all(it.session.generate(request(), never)), all(it.session.generate(request(), never))]);
    for (const events of both) {
      expect(events.at(-1)).toMatchObject({ kind: 'error', code: 'engine_crashed' });
      expect(events.at(-1)).toMatchObject({ message: expect.stringContaining('told to die here') });
    }
    expect((await it.session.closed).reason).toContain('code 7');
    expect(await all(it.session.generate(request(), never))).toMatchObject([{ kind: 'error', code: 'engine_crashed' }]);
  });

  test('[engines E11] a load without progress fails after its limit, a slow one with progress does not', async () => {
    const limits = { loadIdleMs: 400 };
    await using hanging = await open({ hangLoad: true, limits });
    await expect(hanging.session.load({}, () => {}, never)).rejects.toMatchObject({
      code: 'model_load_failed',
      message: expect.stringContaining('no progress'),
    });
    await using slow = await open({ readyAfterMs: 300, limits });
    expect(await slow.session.load({}, () => {}, never)).toMatchObject({ version: 'fake' });
    await using failing = await open({ failLoad: 'tensor x is missing' });
    await expect(failing.session.load({}, () => {}, never)).rejects.toMatchObject({ code: 'model_load_failed', message: 'tensor x is missing' });
  });

  test('a worker that says no hello is not waited for', async () => {
    await expect(open({ silentHello: true, limits: { helloMs: 300 } })).rejects.toMatchObject({ code: 'model_load_failed' });
  });

  test('garbage ends the worker with engine_protocol, at hello and in a stream', async () => {
    await using early = await open({ garbage: 'hello' });
    await expect(early.session.load({}, () => {}, never)).rejects.toMatchObject({ message: expect.stringContaining('no message') });
    await using late = await open({ garbage: 2 });
    await late.session.load({}, () => {}, never);
    expect((await all(late.session.generate(request(), never))).at(-1)).toMatchObject({ kind: 'error', code: 'engine_protocol' });
    expect(await late.child.channel.exited).toMatchObject({ signal: 'SIGKILL' });
  });

  test('a cancelled request ends at once, and its sequence is free', async () => {
    await using it = await open({ tokenMs: 20, reply: 'w '.repeat(1_000) });
    await it.session.load({}, () => {}, never);
    const abort = new AbortController();
    const seen: GenerateEvent[] = [];
    for await (const event of it.session.generate(request(), abort.signal)) {
      seen.push(event);
      if (event.kind === 'text-delta') abort.abort();
    }
    expect(seen.at(-1)).toMatchObject({ kind: 'error', code: 'cancelled' });
    for await (const event of it.session.generate(request(), never)) if (event.kind === 'text-delta') break;
    expect(await it.session.stats()).toMatchObject({ running: 0, waiting: 0 });
  });

  test('close ends a willing worker, and stop an unwilling one', async () => {
    await using willing = await open();
    await willing.session.close();
    expect(await willing.child.channel.exited).toMatchObject({ code: 0 });
    await using unwilling = await open({ ignoreTerm: true, stopGraceMs: 200, limits: { closeMs: 100 } });
    await unwilling.session.close();
    expect(await unwilling.child.stop()).toEqual({ method: 'forced' });
  });

  test.each(['idle', 'busy'])('a worker that is %s ends when its parent is killed, without help of the kernel', async (state) => {
    const at = (path: string) => JSON.stringify(pathToFileURL(`${import.meta.dirname}/${path}`).href);
    const program = `const { openParentChannel } = await import(${at('parent-channel.ts')});
      const channel = openParentChannel(() => {});
      channel.watchParent();
      setTimeout(() => {
        channel.send({ kind: 'log', level: 'info', message: 'up' });
        setTimeout(() => { while (${state === 'busy'}); }, 50);
      }, 300);
      setInterval(() => {}, 1000);`;
    const script = `
      import { createSupervisor } from ${at('../../supervisor/index.ts')};
      const spec = ${JSON.stringify({ ...fakeProcessSpec({}), args: ['--input-type=module', '-e', program, '--'] })};
      const child = await createSupervisor({ setpriv: null, onLine: (line) => console.error(line) }).start(spec);
      child.channel.onMessage(() => setTimeout(() => process.stdout.write(child.pid + '\\n'), 200));
      setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pid = Number(line);
    expect(isRunning(pid)).toBe(true);
    parent.kill('SIGKILL');
    expect(await hasEnded(pid)).toBe(true);
  });
});
