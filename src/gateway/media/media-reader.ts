import type { MediaPart } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Target } from '../answer.ts';
import { type AudioFacts, readAudioFacts } from './audio-facts.ts';
import { UnreadableFile } from './byte-reader.ts';
import { readImageFacts } from './image-facts.ts';
import { MEDIA_LIMITS, type MediaLimits } from './media-limits.ts';

/** Bytes that were fetched for a link of the request, by the link as the request has it (`fetchMedia`). */
export type FetchedMedia = ReadonlyMap<string, { readonly bytes: Uint8Array; readonly mediaType: string | null }>;

/** Turns the media of one request into checked bytes. One for each request: what all its parts are together has limits too. */
export interface MediaReader {
  /** `url`: a `data:` URL, or a link that was fetched before. Throws 400 naming `at`: capability_mismatch before anything is looked at, else invalid_value. */
  image(url: string, at: string): MediaPart;
  /** Base64 without a type of its own, as Anthropic and OpenAI's audio have it; `mediaType` is what the sender calls it. */
  imageData(base64: string, mediaType: string, at: string): MediaPart;
  audio(base64: string, mediaType: string, at: string): MediaPart;
}

export interface MediaReaderOptions {
  readonly fetched?: FetchedMedia;
  readonly limits?: Partial<MediaLimits>;
}

export function createMediaReader(target: Target, options: MediaReaderOptions = {}): MediaReader {
  const limits = { ...MEDIA_LIMITS, ...options.limits };
  let images = 0;
  let decodedBytes = 0;

  const needImages = (at: string): void => {
    if (!target.capabilities.images) throw lacks(target, 'images', at);
    images += 1;
    if (images > limits.images) throw wrong(at, `A request has at most ${limits.images} images.`);
  };

  function checked(bytes: Uint8Array, declared: string | null, at: string): MediaPart {
    const facts = readable(at, 'image', () => readImageFacts(bytes, limits.imageFrames));
    if (facts === null) throw wrong(at, 'This is no PNG, JPEG, GIF or WebP image.');
    if (declared !== null && declared !== facts.mediaType) throw wrong(at, `The image is called ${declared.slice(0, 64)} and is ${facts.mediaType}.`);
    const { width, height, frames, metadataBytes, trailingBytes } = facts;
    if (width === 0 || height === 0 || width * height > limits.imagePixels)
      throw wrong(at, `The image has ${width} × ${height} pixels; at most ${limits.imagePixels} are taken.`);
    if (frames > limits.imageFrames) throw wrong(at, `The image has more than ${limits.imageFrames} frames.`);
    if (metadataBytes > limits.metadataBytes) throw wrong(at, `The image has more than ${limits.metadataBytes} bytes of metadata.`);
    if (trailingBytes > limits.trailingBytes) throw wrong(at, `${trailingBytes} bytes follow the end of the image.`);
    decodedBytes += width * height * 4 * frames;
    if (decodedBytes > limits.decodedBytes) throw wrong(at, `The images of a request have at most ${limits.decodedBytes} bytes when they are decoded.`);
    return { kind: 'image', mediaType: facts.mediaType, source: { kind: 'bytes', bytes } };
  }

  return {
    image(url, at) {
      needImages(at);
      const fetched = options.fetched?.get(url);
      if (fetched !== undefined) return checked(fetched.bytes, imageTypeOf(fetched.mediaType), at);
      // A remote follows links by itself; nothing is connected from here.
      if (target.model === undefined && /^https?:/i.test(url)) return { kind: 'image', source: { kind: 'url', url } };
      if (!url.startsWith('data:')) throw wrong(at, 'Only data: URLs are taken here; links are followed where `media.remoteUrls` is `public`.');
      const { mediaType, base64 } = parseDataUrl(url, at);
      return checked(decodeBase64(base64, limits.imageBytes, at), imageTypeOf(mediaType), at);
    },
    imageData(base64, mediaType, at) {
      needImages(at);
      return checked(decodeBase64(base64, limits.imageBytes, at), imageTypeOf(mediaType), at);
    },
    audio(base64, mediaType, at) {
      if (!target.capabilities.audio) throw lacks(target, 'audio', at);
      const bytes = decodeBase64(base64.startsWith('data:') ? parseDataUrl(base64, at).base64 : base64, limits.audioBytes, at);
      const facts = checkAudio(bytes, at, limits);
      if (facts.mediaType !== audioTypeOf(mediaType)) throw wrong(at, `The audio is called ${mediaType.slice(0, 64)} and is ${facts.mediaType}.`);
      return { kind: 'audio', mediaType: facts.mediaType, source: { kind: 'bytes', bytes } };
    },
  };
}

/** Type, length and rate of a sound file within the limits. Throws invalid_value naming `at`. */
export function checkAudio(bytes: Uint8Array, at: string, limits: MediaLimits = MEDIA_LIMITS): AudioFacts {
  const facts = readable(at, 'audio', () => readAudioFacts(bytes));
  if (facts === null) throw wrong(at, 'This is no WAV, MP3, FLAC or Ogg file.');
  const { seconds, sampleRate } = facts;
  if (seconds > limits.audioSeconds) throw wrong(at, `The audio lasts ${Math.round(seconds)} seconds; at most ${limits.audioSeconds} are taken.`);
  if (sampleRate < limits.minSampleRate || sampleRate > limits.maxSampleRate)
    throw wrong(at, `The audio has ${sampleRate} samples a second; ${limits.minSampleRate} to ${limits.maxSampleRate} are taken.`);
  if (facts.metadataBytes > limits.metadataBytes) throw wrong(at, `The audio has more than ${limits.metadataBytes} bytes of metadata.`);
  return facts;
}

function readable<T>(at: string, what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof UnreadableFile) throw wrong(at, `The ${what} cannot be read: ${error.message}.`);
    throw error;
  }
}

/** `data:` URL (RFC 2397) in base64; parameters between type and data are allowed and mean nothing here. */
function parseDataUrl(url: string, at: string): { readonly mediaType: string; readonly base64: string } {
  const comma = url.indexOf(',');
  const head = comma < 0 || comma > 200 ? '' : url.slice(5, comma);
  const match = /^([a-z0-9.+-]+\/[a-z0-9.+-]+)(?:;[a-z0-9-]+=[^;,]*)*;base64$/i.exec(head);
  if (match === null) throw wrong(at, 'A data: URL has the form data:image/png;base64,…');
  return { mediaType: match[1]!.toLowerCase(), base64: url.slice(comma + 1) };
}

/** Strict: the standard alphabet, padded, nothing else. */
function decodeBase64(text: string, maxBytes: number, at: string): Uint8Array {
  if (text.length > Math.ceil(maxBytes / 3) * 4) throw wrong(at, `More than ${maxBytes} bytes are not taken.`);
  const bytes = text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : null;
  if (bytes === null || bytes.length !== (text.length / 4) * 3 - (text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0))
    throw wrong(at, 'The data are no base64.');
  if (bytes.length > maxBytes) throw wrong(at, `More than ${maxBytes} bytes are not taken.`);
  return bytes;
}

const imageTypeOf = (type: string | null): string | null => (type === 'image/jpg' ? 'image/jpeg' : type);

const AUDIO_TYPES: Readonly<Record<string, string>> = {
  wav: 'audio/wav',
  'x-wav': 'audio/wav',
  wave: 'audio/wav',
  mp3: 'audio/mpeg',
  'x-flac': 'audio/flac',
  opus: 'audio/ogg',
};

function audioTypeOf(type: string): string {
  const name = type.toLowerCase().replace(/^audio\//, '');
  return AUDIO_TYPES[name] ?? `audio/${name}`;
}

const wrong = (at: string, message: string): HearthError => new HearthError('invalid_value', message, { details: { param: at } });

const lacks = (target: Target, what: string, at: string): HearthError =>
  new HearthError('capability_mismatch', `${target.id} takes no ${what}, and ${at} holds some.`, { details: { param: at } });
