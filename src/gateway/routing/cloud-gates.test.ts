import { describe, expect, it } from 'vitest';
import { type FakeUpstream, fakeUpstream, fault } from '../../../test/support/fake-upstream.ts';
import { ask, callOf, clockAt, failure, keyOf, routingOf } from '../../../test/support/routing-run.ts';
import { HearthError } from '../../core/index.ts';
import { openSpendLedger } from './spend-ledger.ts';
import { createMemoryStateStore } from './state/memory-state-store.ts';

describe('what may go to a cloud', () => {
  const price = { input: 1, cached: 0.1, output: 10 };
  const cloudOf = (more: Partial<FakeUpstream> = {}) => fakeUpstream({ name: 'sky', privacy: 'cloud', pricePerMillionTokens: price, ...more } as never);
  const on = { enabled: true, dailyCapUsd: 1, monthlyCapUsd: 10 };

  it('is nothing until it is enabled, with a key, a price and a budget', async () => {
    const { pricePerMillionTokens: _, ...unpriced } = cloudOf();
    const cases = [
      [cloudOf(), { ...on, enabled: false }, 'cloud_off'],
      [cloudOf({ hasKey: false }), on, 'no_key'],
      [unpriced as FakeUpstream, on, 'no_price'],
    ] as const;
    for (const [upstream, cloud, reason] of cases) {
      const { routing } = routingOf([upstream], { cloud });
      expect(await failure(routing, 'sky/m')).toMatchObject({ code: 'no_tier_available', details: { reason } });
      expect(upstream.calls).toHaveLength(0);
    }
    const none = cloudOf();
    expect(await failure(routingOf([none], { cloud: { ...on, dailyCapUsd: 0 } }).routing, 'sky/m')).toMatchObject({ code: 'insufficient_quota' });
    expect(none.calls).toHaveLength(0);
    expect((await ask(routingOf([cloudOf()], { cloud: on }).routing, 'sky/m')).text).toBe('hello');
  });

  it('is no probe either while it is off', async () => {
    const asked: string[] = [];
    const probed = (name: string, privacy: 'private' | 'cloud') =>
      Object.assign(fakeUpstream({ name, privacy }), {
        async probe() {
          asked.push(name);
          return { state: 'ready' as const, models: null, running: null, waiting: null, kvUsage: null };
        },
      });
    const { routing } = routingOf([probed('sky', 'cloud'), probed('box', 'private')], { probeIntervalMs: 60_000 });
    await expect.poll(() => asked).toEqual(['box']);
    routing.configure({ cloud: on });
    await expect.poll(() => asked.toSorted()).toEqual(['box', 'box', 'sky']);
    routing.close();
  });

  it('is nothing of a request or a key that stays local; a remote that is only private is elsewhere too', async () => {
    const home = fakeUpstream({ name: 'home', privacy: 'local' });
    const box = fakeUpstream({ name: 'box', privacy: 'private' });
    const routes = { all: { levels: [['sky/m'], ['box/m'], ['home/m']], balance: 'weighted', fallback: true } } as const;
    const { routing } = routingOf([cloudOf(), box, home], { cloud: on, routes });
    for (const more of [{ wishes: { localOnly: true } }, keyOf({ privacy: 'local-only' })]) {
      expect((await ask(routing, 'all', more)).answer.source.upstream).toBe('home');
      for (const name of ['sky/m', 'box/m']) expect((await failure(routing, name, more)).details).toMatchObject({ reason: 'privacy', noRetry: true });
    }
    expect((await ask(routing, 'all')).answer.source.upstream).toBe('sky');
  });

  it('[serving V69] the answer names who answered, its attempts, and is booked once, from the attempt that answered', async () => {
    const ledger = openSpendLedger(null);
    const first = fakeUpstream({
      name: 'a',
      pricePerMillionTokens: price,
      respond() {
        throw fault(500);
      },
    } as never);
    const { routing, events } = routingOf([first, cloudOf()], {
      cloud: on,
      openLedger: () => ledger,
      routes: { mixed: { levels: [['a/m'], ['sky/m']], balance: 'weighted', fallback: true } },
    });
    const { answer } = await ask(routing, 'mixed');
    expect(answer.source).toMatchObject({ model: 'sky/m', upstream: 'sky' });
    expect(answer.attempts).toMatchObject([
      { upstream: 'a', outcome: 'upstream_error' },
      { upstream: 'sky', outcome: 'ok' },
    ]);
    // 6 new and 4 cached prompt tokens, 5 of the answer.
    const costUsd = (6 * 1 + 4 * 0.1 + 5 * 10) / 1e6;
    expect(ledger.spentUsd('cloud', 'day', Date.now())).toBeCloseTo(costUsd, 9);
    expect(ledger.bookings(9)).toMatchObject([
      { upstream: 'sky', settled: true, key: 'owner' },
      { upstream: 'a', settled: true, costUsd: 0 },
    ]);
    expect(events).toMatchObject([
      { kind: 'upstream-attempt', upstream: 'a', result: 'upstream_error' },
      { kind: 'upstream-attempt', upstream: 'sky', result: 'ok' },
      { kind: 'fallback', from: 'a', to: 'sky', reason: 'upstream_error' },
      { kind: 'cost', upstream: 'sky', usd: costUsd },
    ]);
    // Left in the middle: what was set aside stays spent.
    const left = await routing.answer(callOf('sky/m'));
    for await (const event of left.events) if (event.kind === 'text-delta') break;
    expect(ledger.bookings(1)[0]!.costUsd).toBeCloseTo((Math.ceil(16 / 3) * 1 + 100 * 10) / 1e6, 6);
  });

  it('[serving V76] a key with a spent budget gets 429 until its window ends; others go on', async () => {
    const clock = clockAt(Date.UTC(2026, 10, 21, 10, 30));
    const { routing } = routingOf([cloudOf()], { cloud: on, clock });
    const poor = keyOf({ budgetUsd: { amount: 0.0015, window: 'hour' } });
    expect((await ask(routing, 'sky/m', poor)).text).toBe('hello');
    let error: HearthError | null = null;
    for (let count = 0; count < 20 && error === null; count += 1)
      error = await ask(routing, 'sky/m', poor).then(
        () => null,
        (thrown: HearthError) => thrown,
      );
    expect(error).toMatchObject({ code: 'insufficient_quota', details: { retryAfterS: 1800, noRetry: true, reason: 'key_budget' } });
    expect((await ask(routing, 'sky/m')).text).toBe('hello');
    clock.ms += 1_800_000;
    expect((await ask(routing, 'sky/m', poor)).text).toBe('hello');
  });

  it('[serving V76] the daily cap of all clouds holds for many requests at once, to the last reservation', async () => {
    const sky = cloudOf();
    // One request sets aside about 0.001 dollars.
    const { routing } = routingOf([sky], { cloud: { ...on, dailyCapUsd: 0.0055 } });
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => routing.answer(callOf('sky/m'))));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    expect(sky.calls).toHaveLength(5);
  });

  it('with shared state that is gone, budgets refuse and upstreams without a price go on', async () => {
    const budgetStore = {
      ...createMemoryStateStore({ now: Date.now }),
      shared: true,
      async increment(): Promise<number> {
        throw new HearthError('state_store_unavailable', 'gone');
      },
    };
    const { routing } = routingOf([cloudOf(), fakeUpstream({ name: 'b' })], { cloud: on, budgetStore });
    expect((await failure(routing, 'sky/m')).code).toBe('state_store_unavailable');
    expect((await ask(routing, 'b/m')).text).toBe('hello');
  });
});
