import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { type GenerateEvent, GREEDY_SAMPLING } from '../contract/index.ts';
import { type GenerationOrder, startGeneration } from './generation.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** An order at a model that says one word after the other, without an end. */
function endlessOrder(onEvent: (event: GenerateEvent) => void, die: { now?: (reason: string) => void } = {}): GenerationOrder {
  const session = {
    async *generate() {
      for (let count = 0; ; count += 1) {
        await turn();
        const event: GenerateEvent = { kind: 'text-delta', choice: 0, text: `word ${count}` };
        onEvent(event);
        yield event;
      }
    },
  };
  return {
    loaded: { session, model: { id: 'm', hash: null }, engineId: 'fake', report: { version: null, device: null } } as unknown as GenerationOrder['loaded'],
    request: { requestId: 'req_1', prompt: 'x', stop: [], choices: 1, sampling: GREEDY_SAMPLING },
    arrivedAtMs: 0,
    loadMs: 0,
    queueMs: 0,
    signal: new AbortController().signal,
    onDeath(listener) {
      die.now = listener;
      return () => {};
    },
    onWait() {},
    onEnd() {},
    nowMs: () => 0,
  };
}

it('the events of an answer that goes on are not kept once they are read', async () => {
  const seen: WeakRef<GenerateEvent>[] = [];
  const { events } = startGeneration(endlessOrder((event) => seen.push(new WeakRef(event))));
  for (let count = 0; count < 50; count += 1) await events.next();
  // A reference that was looked at is held to the end of its turn.
  await turn();
  collectGarbage();
  expect(seen.filter((each) => each.deref() !== undefined).length).toBeLessThan(5);
  await events.return();
});

it('an answer whose engine dies between two events ends with that', async () => {
  const die: { now?: (reason: string) => void } = {};
  const { events } = startGeneration(endlessOrder(() => {}, die));
  await events.next();
  die.now!('signal SIGKILL');
  expect((await events.next()).value).toMatchObject({ kind: 'error', code: 'engine_crashed', message: 'The engine ended while it answered: signal SIGKILL' });
  expect((await events.next()).done).toBe(true);
});
