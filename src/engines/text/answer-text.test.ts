import { describe, expect, test } from 'vitest';
import { temporaryDirectory } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import { randomNumbers } from '../../../test/support/random-text.ts';
import { loadTokenizer } from '../../formats/index.ts';
import { reasoningPairs } from './answer/reasoning-marks.ts';
import { createAnswerText } from './answer-text.ts';

describe('text of answers', () => {
  test('[serving V7] emoji and CJK are never split over events: 1,000 outputs, each byte a token of its own', async () => {
    using home = temporaryDirectory();
    makeGoldenModel(`${home.path}/model`);
    const tokenizer = await loadTokenizer(`${home.path}/model`);
    const byteOf = new Map(
      Array.from({ length: 256 }, (_, id) => [tokenizer.tokenBytes(id), id] as const).flatMap(([bytes, id]) =>
        bytes.length === 1 ? [[bytes[0]!, id] as const] : [],
      ),
    );
    const random = randomNumbers(77);
    const characters = ['a', ' ', 'é', '語', '🌍', '👩‍🚀', '한', '<', 'S', 'ST', '</', '\n', 'ß', '𠮷'];
    for (let run = 0; run < 1_000; run++) {
      const text = Array.from({ length: 1 + Math.floor(random() * 24) }, () => characters[Math.floor(random() * characters.length)]!).join('');
      const logprobs = run % 2 === 0 ? { topLogprobs: 0 } : {};
      const answer = createAnswerText(tokenizer.createDetokenizer({ skipSpecial: true }), ['STOP', '語🌍語'], {
        reasoning: { pairs: reasoningPairs(''), inside: null },
        ...logprobs,
      });
      const events: string[] = [];
      let stopString: string | undefined;
      const take = (out: ReturnType<typeof answer.push>): void => {
        for (const part of out.parts) if (part.kind === 'text-delta') events.push(part.text);
        stopString ??= out.stopString;
      };
      for (const byte of Buffer.from(text)) {
        const id = byteOf.get(byte)!;
        if (stopString === undefined) take(answer.push(id, { id, logprob: 0, bytes: Uint8Array.of(byte), top: [] }));
      }
      if (stopString === undefined) take(answer.flush());
      for (const event of events) expect(event.isWellFormed() && !event.includes('\ufffd'), JSON.stringify(events)).toBe(true);
      expect(events.join('')).toBe(stopString === undefined ? text : text.slice(0, text.indexOf(stopString)));
    }
  });
});
