/** Characters that people do not see and models read: turned direction of writing, tags, and what has no width (docs/spec/security.md §7). */
export type HiddenText = 'bidi' | 'tag' | 'zero-width';

const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
const TAG = /[\u{e0000}-\u{e007f}]/u;
/** Joiners shape many scripts and pictures: between Latin letters they only hide. */
const ZERO_WIDTH = /[\u200b\u2060-\u2064\ufeff]|[\x21-\x7e][\u200c\u200d]|[\u200c\u200d][\x21-\x7e]/;
/** Flags of regions are written with tags behind a black flag. */
const FLAGS = /\u{1f3f4}[\u{e0061}-\u{e007a}]{2,6}\u{e007f}/gu;
const ANY = /[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]|\udb40|\\u(?:061c|20[0-6][0-9a-f]|feff|db40)/i;

/** Which kinds a JSON value holds, in its names and texts; `json` is the text that it was read from. */
export function hiddenTextIn(json: string, value: unknown): readonly HiddenText[] {
  if (!ANY.test(json)) return [];
  const text = JSON.stringify(value).replaceAll(FLAGS, '');
  return [
    ...(BIDI.test(text) ? (['bidi'] as const) : []),
    ...(TAG.test(text) ? (['tag'] as const) : []),
    ...(ZERO_WIDTH.test(text) ? (['zero-width'] as const) : []),
  ];
}
