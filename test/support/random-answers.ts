import type { FinishReason, GenerateEvent } from '../../src/contract/index.ts';

/** Numbers below `limit`, the same for the same seed. */
export function createDice(seed: number): (limit: number) => number {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const TEXTS = ['Hello', ' ', 'wörld', '😀', '\n\n', '漢字', '"', '\\', '</think>', 'a'];

/**
 * Canonical events of one answer as engines and remotes may send them: parts in any order, calls that run beside each other or are never ended,
 * empty pieces, a start that is missing. Arguments of a call join to a JSON object unless the answer is cut.
 */
export function randomAnswer(seed: number): GenerateEvent[] {
  const dice = createDice(seed);
  const pick = <T>(list: readonly T[]): T => list[dice(list.length)]!;
  const events: GenerateEvent[] = [];
  if (dice(10) > 0) events.push({ kind: 'start', promptTokens: 10 + dice(90), cachedTokens: dice(10) });
  if (dice(3) === 0) events.push({ kind: 'prefill-progress', doneTokens: 1, totalTokens: 2 });
  let calls = 0;
  const running: { readonly toolIndex: number; readonly pieces: string[] }[] = [];
  for (let step = 0; step < 2 + dice(14); step += 1) {
    const what = dice(12);
    if (what < 4) events.push({ kind: 'text-delta', choice: 0, text: dice(8) === 0 ? '' : pick(TEXTS) });
    else if (what < 7) {
      const signature = dice(6) === 0 ? { signature: 'c2lnbmVk' } : {};
      events.push({ kind: 'reasoning-delta', choice: 0, text: dice(6) === 0 ? '' : pick(TEXTS), ...signature });
    } else if (what < 9 && calls < 6) {
      const json = JSON.stringify({ city: pick(TEXTS), n: dice(100), list: [pick(TEXTS), dice(9)] });
      const toolIndex = calls++;
      const id = dice(4) === 0 ? 'call_0' : `call_${String(dice(1e9)).padStart(24, 'x')}`;
      events.push({ kind: 'tool-start', choice: 0, toolIndex, id, name: `tool_${toolIndex}` });
      const cut = dice(json.length);
      running.push({ toolIndex, pieces: [json.slice(0, cut), json.slice(cut)] });
    } else if (running.length > 0) {
      const call = pick(running);
      const piece = call.pieces.shift();
      if (piece !== undefined) events.push({ kind: 'tool-delta', choice: 0, toolIndex: call.toolIndex, argumentsJson: piece });
      else {
        events.push({ kind: 'tool-end', choice: 0, toolIndex: call.toolIndex });
        running.splice(running.indexOf(call), 1);
      }
    }
  }
  const reason: FinishReason = dice(5) === 0 ? 'length' : calls > 0 ? 'tool_calls' : dice(6) === 0 ? 'content_filter' : 'stop';
  if (reason !== 'length') {
    for (const call of running) {
      for (const argumentsJson of call.pieces) events.push({ kind: 'tool-delta', choice: 0, toolIndex: call.toolIndex, argumentsJson });
      if (dice(2) === 0) events.push({ kind: 'tool-end', choice: 0, toolIndex: call.toolIndex });
    }
  }
  events.push({ kind: 'finish', choice: 0, reason, ...(reason === 'stop' && dice(2) === 0 ? { stopString: 'STOP' } : {}) });
  if (dice(6) === 0) events.push({ kind: 'text-delta', choice: 0, text: 'too late' });
  events.push({ kind: 'usage', promptTokens: 100, cachedTokens: 10, completionTokens: 1 + dice(50), reasoningTokens: 0 }, { kind: 'end' });
  return events;
}
