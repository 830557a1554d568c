import type { ChatReply, ChatRequest } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { type ImageSource, imageNotes, imageTable, numberImages } from './image-table.ts';

export interface ImageMetadataOptions {
  /** Read place, day and camera out of the pictures (`run.exifMetadata`). */
  readonly exif: boolean;
  /** Tell them to the model (`run.metadataContext`). */
  readonly context: boolean;
}

/** One part of a call: what stands in front of its answer, and its own request. */
export interface ImageBatch {
  readonly intro: string;
  readonly body: ChatRequest;
}

/**
 * A chat request with `chunk` as requests of at most that many pictures of its last message, each with the same text and a fresh
 * start (docs/spec/store.md §10). null: the request has no `chunk` or no pictures.
 */
export function planImageBatches(body: ChatRequest, options: ImageMetadataOptions): readonly ImageBatch[] | null {
  const last = body.messages.at(-1);
  const size = body.chunk;
  if (size == null || last === undefined || !Array.isArray(last.content)) return null;
  const parts = last.content;
  const pictures = parts.filter((part) => part.type === 'image_url');
  if (pictures.length === 0) return null;
  const numbered = numberImages(pictures.map(imageSource), options.exif);
  const others = parts.filter((part) => part.type !== 'image_url');
  const count = Math.ceil(pictures.length / size);
  const { chunk: _, ...rest } = body;
  return Array.from({ length: count }, (__, i) => {
    const from = i * size;
    const images = numbered.slice(from, from + size);
    const place = count === 1 ? null : { index: i + 1, count, first: from + 1, last: from + images.length };
    const notes = options.exif && options.context ? imageNotes(images) : '';
    const content = [...pictures.slice(from, from + size), ...(notes === '' ? [] : [{ type: 'text', text: `${notes}\n` }]), ...others];
    return { intro: imageTable(images, place, options.exif), body: { ...rest, messages: [...body.messages.slice(0, -1), { ...last, content }] } };
  });
}

function imageSource(part: Readonly<Record<string, unknown>>, index: number): ImageSource {
  const { url } = (part['image_url'] ?? {}) as { url?: unknown };
  const [, data] = /^data:image\/[a-z+.-]+;base64,([A-Za-z0-9+/=]+)$/.exec(typeof url === 'string' ? url : '') ?? [];
  if (data === undefined)
    throw new HearthError('invalid_value', `Image ${index + 1} has to be a data: URL in base64.`, {
      details: { param: `messages.content.${index}.image_url` },
    });
  return { name: typeof part['name'] === 'string' ? part['name'] : null, bytes: Buffer.from(data, 'base64') };
}

/** Answers batch after batch, and joins them: texts by a blank line, counts by sum; what ends the last one ends the answer. */
export async function answerBatches(batches: readonly ImageBatch[], answer: (body: ChatRequest) => Promise<ChatReply>): Promise<ChatReply> {
  const replies: ChatReply[] = [];
  for (const { body } of batches) replies.push(await answer(body));
  const [first, last] = [replies[0]!, replies.at(-1)!];
  const sum = (key: 'prompt_tokens' | 'completion_tokens' | 'total_tokens') => replies.reduce((total, { usage }) => total + usage[key], 0);
  const content = replies.map(({ choices }, i) => `${batches[i]!.intro}${choices[0]?.message.content ?? ''}`).join('\n\n');
  const choice = last.choices[0]!;
  return {
    ...first,
    choices: [{ ...choice, index: 0, message: { ...choice.message, content } }],
    usage: { prompt_tokens: sum('prompt_tokens'), completion_tokens: sum('completion_tokens'), total_tokens: sum('total_tokens') },
  };
}
