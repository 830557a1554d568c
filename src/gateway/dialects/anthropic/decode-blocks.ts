import type { AnthropicBlock, ContentPart, MediaPart } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import type { Target } from '../../answer.ts';
import type { MediaReader } from '../../media/media-reader.ts';
import { invalid, isPresent } from '../sampling.ts';

/** What reads the blocks of one request. */
export interface BlockReader {
  readonly target: Target;
  readonly media: MediaReader;
}

/** All blocks of a content: texts that follow each other are one text, a line each. */
export function decodeParts(content: string | readonly AnthropicBlock[], at: string, reader: BlockReader): ContentPart[] {
  if (typeof content === 'string') return content === '' ? [] : [{ kind: 'text', text: content }];
  return joinTexts(content.flatMap((block, i) => decodePart(block, `${at}.${i}`, reader)));
}

export function joinTexts(parts: readonly ContentPart[]): ContentPart[] {
  const joined: ContentPart[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (part.kind === 'text' && last?.kind === 'text') joined[joined.length - 1] = { kind: 'text', text: `${last.text}\n${part.text}` };
    else joined.push(part);
  }
  return joined;
}

/** One block that a model reads; `at` is its place in the request. */
export function decodePart(block: AnthropicBlock, at: string, reader: BlockReader): ContentPart[] {
  switch (block.type) {
    case 'text':
      return [textOf(block, at)];
    case 'image':
      return [decodeImage(block, at, reader)];
    case 'document':
      return decodeDocument(block, at, reader);
    case 'search_result': {
      const found = decodeParts(blocksOf(block['content'], `${at}.content`), `${at}.content`, reader);
      return [{ kind: 'text', text: [block['title'], block['source']].filter((line) => typeof line === 'string').join('\n') }, ...found];
    }
    case 'tool_reference':
      return typeof block['tool_name'] === 'string' ? [{ kind: 'text', text: block['tool_name'] }] : [];
    default:
      throw invalid(`${at}.type`, `${at}: blocks of the type ${block.type} are not taken here.`);
  }
}

export function textOf(block: AnthropicBlock, at: string): Extract<ContentPart, { kind: 'text' }> {
  if (typeof block['text'] !== 'string') throw invalid(`${at}.text`, `${at}.text is needed: a block of the type text has its text.`);
  return { kind: 'text', text: block['text'] };
}

/** Contents of a block as blocks; a string is one text. */
export function blocksOf(content: unknown, at: string): readonly AnthropicBlock[] {
  if (!isPresent(content)) return [];
  if (typeof content === 'string') return content === '' ? [] : [{ type: 'text', text: content }];
  const right = Array.isArray(content) && content.every((block) => typeof (block as { type?: unknown } | null)?.type === 'string');
  if (!right) throw invalid(at, `${at} is a string or a list of blocks, each with its type.`);
  return content as AnthropicBlock[];
}

const sourceOf = (block: AnthropicBlock, at: string): Record<string, unknown> => {
  const source = block['source'];
  if (typeof source !== 'object' || source === null) throw invalid(`${at}.source`, `${at}.source is needed: it says where the ${block.type} is.`);
  return source as Record<string, unknown>;
};

function decodeImage(block: AnthropicBlock, at: string, { target, media }: BlockReader): MediaPart {
  const { type, media_type: mediaType, data, url } = sourceOf(block, at);
  if (type === 'base64') {
    if (typeof mediaType !== 'string') throw invalid(`${at}.source.media_type`, `${at}.source.media_type is needed, such as image/png.`);
    if (typeof data !== 'string') throw invalid(`${at}.source.data`, `${at}.source.data is needed: the image in base64.`);
    return media.imageData(data, mediaType, at);
  }
  if (type === 'url' && typeof url === 'string') {
    // Only a remote may follow a link.
    const follows = target.model === undefined && target.capabilities.images;
    return follows ? { kind: 'image', source: { kind: 'url', url } } : media.image(url, at);
  }
  throw invalid(`${at}.source.type`, `${at}.source.type is base64 or url; files of another server are not here.`);
}

function decodeDocument(block: AnthropicBlock, at: string, reader: BlockReader): ContentPart[] {
  const source = sourceOf(block, at);
  const title = typeof block['title'] === 'string' && block['title'] !== '' ? [{ kind: 'text' as const, text: block['title'] }] : [];
  if (source['type'] === 'text' && typeof source['data'] === 'string') return [...title, { kind: 'text', text: source['data'] }];
  if (source['type'] === 'content') return [...title, ...decodeParts(blocksOf(source['content'], `${at}.source.content`), `${at}.source.content`, reader)];
  throw new HearthError('capability_mismatch', `${at} is a document that is no text, which ${reader.target.id} cannot read here; send its text.`, {
    details: { param: at },
  });
}
