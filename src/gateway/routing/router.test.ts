import { describe, expect, it } from 'vitest';
import { fakeUpstream, fault, textAnswer } from '../../../test/support/fake-upstream.ts';
import { ask, callOf, clockAt, failing, failure, read, routingOf, twoLevels } from '../../../test/support/routing-run.ts';
import { HearthError } from '../../core/index.ts';
import type { AnswerCall } from '../answer.ts';

describe('fallback before the commit point', () => {
  it('[serving V66] happens on 429, 5xx, timeouts and connect failures', async () => {
    for (const status of [429, 500, 502, 503, 504, 529, 'connect', 'timeout'] as const) {
      const [a, b] = [failing('a', status), fakeUpstream({ name: 'b' })];
      const { routing } = routingOf([a, b], twoLevels());
      const { answer, text } = await ask(routing, 'fast');
      expect(text).toBe('hello');
      expect(answer.attempts.map(({ upstream }) => upstream)).toEqual(['a', 'b']);
      expect([a.calls.length, b.calls.length]).toEqual([1, 1]);
    }
  });

  it('[serving V66] never happens on 400, 401, 403, 413, 422, or when the client is gone', async () => {
    for (const status of [400, 401, 403, 413, 422]) {
      const [a, b] = [failing('a', status), fakeUpstream({ name: 'b' })];
      const { routing } = routingOf([a, b], twoLevels());
      const error = await failure(routing, 'fast');
      expect(error).toMatchObject({ message: fault(status).message, details: { attempts: [{ upstream: 'a', outcome: error.code }] } });
      expect(b.calls).toHaveLength(0);
    }
    const gone = new AbortController();
    const a = fakeUpstream({
      name: 'a',
      respond() {
        gone.abort();
        throw fault('connect');
      },
    });
    const b = fakeUpstream({ name: 'b' });
    const { routing } = routingOf([a, b], twoLevels());
    expect((await failure(routing, 'fast', { signal: gone.signal })).code).toBe('client_closed_request');
    expect(b.calls).toHaveLength(0);
    expect(routing.upstreams().flatMap(({ breakers }) => breakers.map(({ failuresInRow }) => failuresInRow))).toEqual([]);
  });

  it('never replays what came after it: the stream ends with the error, and the breaker counts it', async () => {
    const cut = fakeUpstream({ name: 'a', respond: () => textAnswer('a', 'm', [{ kind: 'error', code: 'upstream_truncated', message: 'cut' }]) });
    const b = fakeUpstream({ name: 'b' });
    const { routing } = routingOf([cut, b], twoLevels());
    expect((await ask(routing, 'fast')).text).toBe('hello!upstream_truncated');
    expect(b.calls).toHaveLength(0);
    expect(routing.upstreams()[0]!.breakers).toMatchObject([{ model: 'm', failuresInRow: 1 }]);
  });

  it('passes from a local model that crashed, which is not asked again, and to one', async () => {
    const b = fakeUpstream({ name: 'b' });
    const routes = {
      out: { levels: [['org/crash'], ['b/m']], balance: 'weighted', fallback: true },
      home: { levels: [['a/m'], ['org/good']], balance: 'weighted', fallback: true },
      alone: { levels: [['org/crash'], ['org/crash-too']], balance: 'weighted', fallback: true },
    } as const;
    const { routing, answered } = routingOf([failing('a', 500), b], { routes, models: ['org/crash', 'org/crash-too', 'org/good'] });
    expect((await ask(routing, 'out')).answer.attempts).toMatchObject([{ outcome: 'engine_crashed' }, { upstream: 'b', outcome: 'ok' }]);
    expect((await ask(routing, 'home')).answer).toMatchObject({ source: { model: 'org/good' }, attempts: [{ upstream: 'a' }, { outcome: 'ok' }] });
    expect((await failure(routing, 'alone')).code).toBe('engine_crashed');
    expect(answered.filter((id) => id === 'org/crash')).toHaveLength(2);
  });

  it('x-hearth-no-fallback and a route without fallback end with the first target', async () => {
    const make = () => [failing('a', 500), fakeUpstream({ name: 'b' })] as const;
    const [a, b] = make();
    const routes = { solo: { levels: [['a/m'], ['b/m']], balance: 'weighted', fallback: false } } as const;
    const { routing } = routingOf([a, b], { ...twoLevels(), routes: { ...twoLevels().routes, ...routes }, random: () => 0 });
    expect((await failure(routing, 'fast', { wishes: { noFallback: true } })).code).toBe('upstream_error');
    expect((await failure(routing, 'solo')).code).toBe('upstream_error');
    expect(b.calls).toHaveLength(0);
  });
});

describe('attempts', () => {
  it('[serving V67] are at most three, come back to the same target with a jittered pause, and are listed', async () => {
    const a = failing('a', 500);
    const { routing } = routingOf([a], { random: () => 0.01 });
    const error = await failure(routing, 'a/m');
    expect(a.calls).toHaveLength(3);
    expect(error).toMatchObject({ code: 'upstream_error', details: { noRetry: true, attempts: [{ upstream: 'a' }, { upstream: 'a' }, { upstream: 'a' }] } });
    const recovering = failing('a', 503, 200);
    const { answer } = await ask(routingOf([recovering], { random: () => 0.01 }).routing, 'a/m');
    expect(answer.attempts.map(({ outcome }) => outcome)).toEqual(['upstream_overloaded', 'ok']);
  });

  it('[serving V67] honour Retry-After: waited for when short, given back when long, and nobody else calls meanwhile', async () => {
    const short = fakeUpstream({
      name: 'a',
      respond(_, index) {
        if (index === 0) throw fault(429, 80);
        return textAnswer('a', 'm');
      },
    });
    const startedAt = performance.now();
    expect((await ask(routingOf([short]).routing, 'a/m')).text).toBe('hello');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(79);

    const long = fakeUpstream({
      name: 'a',
      respond() {
        throw fault(429, 3_600_000);
      },
    });
    const { routing } = routingOf([long, fakeUpstream({ name: 'b' })], twoLevels());
    expect(await failure(routing, 'a/m')).toMatchObject({ code: 'rate_limit_exceeded', details: { retryAfterS: 3600 } });
    // Another request knows it already: no second call, here or in a route with another target.
    expect(await failure(routing, 'a/m')).toMatchObject({ code: 'rate_limit_exceeded', details: { retryAfterS: 3600 } });
    expect((await ask(routing, 'fast')).answer.attempts).toMatchObject([{ upstream: 'b', outcome: 'ok' }]);
    expect(long.calls).toHaveLength(1);
  });

  it('pass over targets that cannot do what is asked, without an attempt; a mistake of the request ends at once', async () => {
    const [a, b] = [fakeUpstream({ name: 'a', capabilities: { tools: false } }), fakeUpstream({ name: 'b' })];
    const { routing } = routingOf([a, b], twoLevels());
    const decode: AnswerCall['decode'] = (target) => {
      if (!target.capabilities.tools) throw new HearthError('unsupported_parameter', 'no tools');
      return callOf('fast').decode(target);
    };
    expect((await ask(routing, 'fast', { decode })).answer.attempts).toMatchObject([{ upstream: 'b', outcome: 'ok' }]);
    expect((await failure(routing, 'a/m', { decode })).code).toBe('unsupported_parameter');
    const wrong = () => {
      throw new HearthError('invalid_value', 'wrong');
    };
    expect((await failure(routing, 'fast', { decode: wrong })).code).toBe('invalid_value');
    expect(a.calls).toHaveLength(0);
  });

  it('wait for a place where an upstream takes only so many at a time, and spill over the depth', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const a = fakeUpstream({
      name: 'a',
      maxConcurrent: 1,
      async respond() {
        await promise;
        return textAnswer('a', 'm');
      },
    });
    const b = fakeUpstream({ name: 'b' });
    const { routing } = routingOf([a, b], { ...twoLevels(), spillAtQueueDepth: 2 });
    const running = Array.from({ length: 4 }, () => ask(routing, 'fast'));
    await expect.poll(() => routing.upstreams()[0]).toMatchObject({ inFlight: 1, queued: 3, state: 'busy' });
    expect((await ask(routing, 'fast')).answer.source.upstream).toBe('b');
    resolve();
    await Promise.all(running);
    expect(routing.upstreams()[0]).toMatchObject({ inFlight: 0, queued: 0, state: 'ready' });
    expect(a.calls).toHaveLength(4);
  });
});

describe('breaker of one upstream and model', () => {
  it('[serving V70] opens, half-opens with one probe, closes; its state is in the view and in events', async () => {
    const clock = clockAt(1_000_000);
    const { promise, resolve } = Promise.withResolvers<void>();
    let good = false;
    const a = fakeUpstream({
      name: 'a',
      async respond() {
        if (!good) throw fault(500);
        await promise;
        return textAnswer('a', 'm');
      },
    });
    const { routing, events } = routingOf([a], { clock, maxAttempts: 1 });
    for (let count = 0; count < 5; count += 1) expect((await failure(routing, 'a/m')).code).toBe('upstream_error');
    const phase = () => routing.upstreams()[0]!.breakers[0]!.phase;
    expect(phase()).toBe('open');
    const refused = await failure(routing, 'a/m');
    expect(refused).toMatchObject({ code: 'breaker_open' });
    expect(refused.details['retryAfterS']).toBeGreaterThan(14);
    expect(a.calls).toHaveLength(5);
    // Another model of the same upstream is not concerned.
    await failure(routing, 'a/other');
    expect(a.calls).toHaveLength(6);

    clock.ms += 17_000;
    expect(phase()).toBe('half-open');
    good = true;
    const probe = ask(routing, 'a/m');
    await expect.poll(() => a.calls.length).toBe(7);
    // While the probe is out, nobody else gets through.
    for (const error of await Promise.all([failure(routing, 'a/m'), failure(routing, 'a/m')])) expect(error.code).toBe('breaker_open');
    expect(a.calls).toHaveLength(7);
    resolve();
    expect((await probe).text).toBe('hello');
    expect(phase()).toBe('closed');
    expect((await ask(routing, 'a/m')).text).toBe('hello');
    expect(events.filter(({ kind }) => kind === 'breaker-change')).toMatchObject([{ upstream: 'a', model: 'm', state: 'open' }, { state: 'closed' }]);
  });

  it('is closed by hand, and 429 and 4xx do not open it', async () => {
    const clock = clockAt(1_000_000);
    const a = failing('a', 500);
    const { routing } = routingOf([a, failing('b', 400)], { clock, maxAttempts: 1 });
    for (let count = 0; count < 6; count += 1) await failure(routing, 'a/m');
    expect(a.calls).toHaveLength(5);
    expect(routing.control('a', 'reset-breaker')).toBe(true);
    await failure(routing, 'a/m');
    expect(a.calls).toHaveLength(6);
    for (let count = 0; count < 12; count += 1) expect((await failure(routing, 'b/m')).code).toBe('invalid_value');
    expect(routing.upstreams()[1]!.breakers).toEqual([]);
    expect(routing.control('nobody', 'drain')).toBe(false);
  });
});

describe('names', () => {
  const setup = () =>
    routingOf([fakeUpstream({ name: 'box', models: ['big', 'org/deep'] }), fakeUpstream({ name: 'org' })], {
      models: ['org/small', 'work', 'fast'],
      aliases: { 'claude-*': 'org/small', 'claude-opus-*': 'box/big', mine: 'small', away: 'box/big', 'x*y': 'work', 'x*z': 'work' },
      routes: { fast: { levels: [['box']], balance: 'weighted', fallback: true }, big: { levels: [['box']], balance: 'weighted', fallback: true } },
    });

  it('lead to an exact id first, then an alias or glob, a route, a remote, and the store', async () => {
    const { routing } = setup();
    const answers = async (name: string) => (await ask(routing, name)).answer.source.model;
    expect(await answers('org/small')).toBe('org/small');
    expect(await answers('fast')).toBe('fast');
    expect(await answers('claude-sonnet-4')).toBe('org/small');
    expect(await answers('claude-opus-4')).toBe('box/big');
    expect(await answers('mine')).toBe('org/small');
    expect(await answers('xaby')).toBe('work');
    expect(await answers('big')).toBe('box/big');
    expect(await answers('box/org/deep')).toBe('box/org/deep');
    expect(await answers('org/unknown')).toBe('org/unknown');
    expect(await answers('small')).toBe('org/small');
    expect((await failure(routing, 'nothing')).code).toBe('model_not_found');
    expect(await routing.localName('mine', new AbortController().signal)).toBe('small');
    await expect(routing.localName('away', new AbortController().signal)).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it('of globs that contradict each other are ambiguous', async () => {
    const { routing } = routingOf([], { models: ['a', 'b'], aliases: { 'x*': 'a', '*x': 'b' } });
    expect(await failure(routing, 'xx')).toMatchObject({ code: 'ambiguous_match', details: { matches: ['a', 'b'] } });
  });

  it('change from the next request on, and running ones go on', async () => {
    const { routing } = setup();
    const before = await routing.answer(callOf('away'));
    routing.configure({ aliases: { away: 'work' }, upstreams: [] });
    expect(await read(before)).toBe('hello');
    expect((await ask(routing, 'away')).answer.source.model).toBe('work');
  });
});

describe('explain', () => {
  it('tells the targets in their order and why each is in or out, and sends nothing', async () => {
    const upstreams = [
      fakeUpstream({ name: 'sky', privacy: 'cloud' }),
      failing('a', 500),
      fakeUpstream({ name: 'b', capabilities: { tools: false } }),
      fakeUpstream({ name: 'c' }),
    ];
    const routes = {
      all: {
        levels: [
          ['sky/m', 'a/m'],
          ['b/m', 'org/small'],
          ['gone', 'c/m'],
        ],
        balance: 'weighted',
        fallback: true,
      },
    } as const;
    const { routing } = routingOf(upstreams, { routes, models: ['org/small'], maxAttempts: 1 });
    for (let count = 0; count < 5; count += 1) await failure(routing, 'a/m');
    routing.control('c', 'drain');
    const decode: AnswerCall['decode'] = (target) => {
      if (!target.capabilities.tools) throw new HearthError('unsupported_parameter', 'no tools');
      return callOf('all').decode(target);
    };
    const explained = await routing.explain(callOf('all', { decode }));
    expect(explained).toMatchObject({ name: 'all', route: 'all', balance: 'weighted', fallback: true, chosen: 'org/small', decision: 'try' });
    const reasons = Object.fromEntries(explained.targets.map(({ target, reason }) => [target, reason]));
    expect(reasons).toEqual({
      'sky/m': 'cloud_off',
      'a/m': 'breaker_open',
      'b/m': 'unsupported_parameter',
      'org/small': 'warm',
      gone: 'model_not_found',
      'c/m': 'draining',
    });
    expect(explained.targets.filter((target) => target.in).map(({ target }) => target)).toEqual(['org/small']);
    expect(upstreams[3]!.calls).toHaveLength(0);
  });
});

describe('names that clients make up', () => {
  it('leave no more than a bounded trace at an upstream that answers to every name, and close no breaker that is open', async () => {
    const loose = fakeUpstream({
      name: 'a',
      respond({ model }) {
        if (model === 'broken') throw fault(500);
        return textAnswer('a', model);
      },
    });
    const { routing } = routingOf([loose], { maxAttempts: 1, clock: clockAt(1_000_000) });
    for (let count = 0; count < 5; count += 1) await failure(routing, 'a/broken');
    for (let count = 0; count < 1_200; count += 1) await ask(routing, `a/made-up-${count}`);
    const { breakers } = routing.upstreams()[0]!;
    expect(breakers).toHaveLength(1_000);
    expect(breakers[0]).toMatchObject({ model: 'broken', phase: 'open' });
    expect(breakers.at(-1)!.model).toBe('made-up-1199');
    expect(routing.control('a', 'reset-breaker')).toBe(true);
    expect((await ask(routing, 'a/made-up-0')).text).toBe('hello');
  });
});
