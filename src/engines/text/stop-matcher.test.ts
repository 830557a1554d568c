import { expect, test } from 'vitest';
import { createStopMatcher } from './stop-matcher.ts';

/** The definition: earliest position, then the shortest. */
function reference(text: string, stops: readonly string[]): { text: string; stopString?: string } {
  let best: { at: number; stop: string } | undefined;
  for (const stop of stops) {
    const at = text.indexOf(stop);
    if (at >= 0 && (best === undefined || at < best.at || (at === best.at && stop.length < best.stop.length))) best = { at, stop };
  }
  return best === undefined ? { text } : { text: text.slice(0, best.at), stopString: best.stop };
}

function stream(pieces: readonly string[], stops: readonly string[]): { text: string; stopString?: string; shown: string[] } {
  const matcher = createStopMatcher(stops);
  const shown: string[] = [];
  for (const piece of pieces) {
    const out = matcher.push(piece);
    shown.push(out.text);
    if (out.stopString !== undefined) return { text: shown.join(''), stopString: out.stopString, shown };
  }
  const out = matcher.flush();
  return { text: shown.join('') + out.text, ...(out.stopString === undefined ? {} : { stopString: out.stopString }), shown };
}

test('every split of a text gives what the whole text gives, and nothing of a stop string is shown', () => {
  const cases: [string, string[]][] = [
    ['one END two', ['END']],
    ['xyz', ['y', 'xyz']],
    ['xyw', ['y', 'xyz']],
    ['aaab', ['aab']],
    ['abcabd', ['abd', 'ca']],
    ['grüße 🌍 stop', ['🌍']],
    ['line\nHuman: hi', ['\nHuman:', '\nAssistant:']],
    ['almost EN', ['END']],
    ['nothing', []],
    ['ababab', ['abc', 'bab']],
  ];
  for (const [text, stops] of cases) {
    const expected = reference(text, stops);
    const characters = [...text];
    for (let mask = 0; mask < 2 ** Math.min(characters.length - 1, 10); mask++) {
      const pieces: string[] = [''];
      characters.forEach((character, i) => {
        pieces[pieces.length - 1] += character;
        if (mask & (1 << i)) pieces.push('');
      });
      const { shown, ...result } = stream(pieces, stops);
      expect({ stops, pieces, ...result }).toEqual({ stops, pieces, ...expected });
      for (const stop of stops) expect(shown.join('')).not.toContain(stop);
    }
  }
});

test('text that cannot begin a stop string is shown at once', () => {
  const matcher = createStopMatcher(['STOP']);
  expect(matcher.push('hello ').text).toBe('hello ');
  expect(matcher.push('ST').text).toBe('');
  expect(matcher.push('AR').text).toBe('STAR');
});
