import { type ByteReader, createByteReader, UnreadableFile } from './byte-reader.ts';

/** What the headers of a sound file say; nothing is decoded. */
export interface AudioFacts {
  readonly mediaType: 'audio/wav' | 'audio/mpeg' | 'audio/flac' | 'audio/ogg';
  readonly sampleRate: number;
  readonly seconds: number;
  /** Bytes of tags and pictures. */
  readonly metadataBytes: number;
}

type Body = Omit<AudioFacts, 'mediaType'>;

/** Facts of a WAV, MP3, FLAC or Ogg file (Opus or Vorbis); null for anything else. Throws UnreadableFile for one that breaks its format. */
export function readAudioFacts(bytes: Uint8Array): AudioFacts | null {
  const file = createByteReader(bytes);
  const starts = (text: string, at = 0): boolean => file.size >= at + text.length && file.ascii(at, text.length) === text;
  if (starts('RIFF') && starts('WAVE', 8)) return { mediaType: 'audio/wav', ...wavFacts(file) };
  if (starts('fLaC')) return { mediaType: 'audio/flac', ...flacFacts(file) };
  if (starts('OggS')) return { mediaType: 'audio/ogg', ...oggFacts(file) };
  if (starts('ID3') || (file.size > 4 && mp3Frame(file, 0) !== null)) return { mediaType: 'audio/mpeg', ...mp3Facts(file) };
  return null;
}

/** Whose samples have one size: PCM, floats, A-law, µ-law, and the extensible form of these. */
const WAV_KINDS = [1, 3, 6, 7, 0xfffe];

function wavFacts(file: ByteReader): Body {
  let [sampleRate, bytesPerSecond, metadataBytes] = [0, 0, 0];
  for (let at = 12; at + 8 <= file.size; ) {
    const [type, length, data] = [file.ascii(at, 4), file.u32(at + 4, true), at + 8];
    if (type === 'fmt ') {
      [sampleRate, bytesPerSecond] = [file.u32(data + 4, true), file.u32(data + 8, true)];
      // A rate that is not that of its samples would tell a short sound of a long one.
      if (!WAV_KINDS.includes(file.u16(data, true))) throw new UnreadableFile('its kind of WAV is not taken; PCM, floats, A-law and µ-law are');
      if (bytesPerSecond !== sampleRate * file.u16(data + 12, true)) throw new UnreadableFile('its rates contradict each other');
    } else if (type === 'data') {
      if (bytesPerSecond === 0) throw new UnreadableFile('it has no sound before it says what it is');
      // A recorder that wrote into a pipe could not know the length.
      return { sampleRate, seconds: Math.min(length, file.size - data) / bytesPerSecond, metadataBytes };
    } else metadataBytes += length;
    at = data + length + (length % 2);
  }
  throw new UnreadableFile('it holds no sound');
}

/** RFC 9639: STREAMINFO is the first block. */
function flacFacts(file: ByteReader): Body {
  if ((file.u8(4) & 0x7f) !== 0 || file.u24(5) !== 34) throw new UnreadableFile('its first block is not STREAMINFO');
  const sampleRate = file.u24(18) >>> 4;
  const samples = (file.u8(21) & 0x0f) * 2 ** 32 + file.u32(22);
  let metadataBytes = 0;
  let at = 4;
  for (let last = false; !last; ) {
    const head = file.u8(at);
    last = (head & 0x80) !== 0;
    const length = file.u24(at + 1);
    if (at !== 4) metadataBytes += length;
    at += 4 + length;
  }
  if (at >= file.size || sampleRate === 0) throw new UnreadableFile('it holds no sound');
  // 0 stands for unknown: a few bytes may hold hours of silence.
  if (samples === 0) throw new UnreadableFile('it does not tell how long it is');
  return { sampleRate, seconds: samples / sampleRate, metadataBytes };
}

/** Milliseconds of a packet of Opus, from its first two bytes (RFC 6716 §3.1). */
function opusPacketMs(first: number, second: number): number {
  const config = first >>> 3;
  const frame = config < 12 ? [10, 20, 40, 60][config & 3]! : config < 16 ? [10, 20][config & 1]! : [2.5, 5, 10, 20][config & 3]!;
  return frame * [1, 2, 2, second & 63][first & 3]!;
}

/**
 * RFC 3533; the position of the last page counts samples: at 48 kHz for Opus (RFC 7845), else at the rate of the header. Packets of Opus are counted
 * too, since a position may lie.
 */
function oggFacts(file: ByteReader): Body {
  let [sampleRate, clock, last] = [0, 0, 0];
  let [packets, packetsMs, open, opus] = [0, 0, false, false];
  for (let at = 0; at < file.size; ) {
    if (file.ascii(at, 4) !== 'OggS') throw new UnreadableFile('a page is not where it should be');
    const segments = file.u8(at + 26);
    let length = 0;
    for (let i = 0; i < segments; i += 1) length += file.u8(at + 27 + i);
    const data = at + 27 + segments;
    if (data + length > file.size) throw new UnreadableFile('it ends early');
    if (at === 0 && length >= 16) {
      opus = file.ascii(data, 8) === 'OpusHead';
      if (opus) [sampleRate, clock] = [48_000, 48_000];
      else if (file.ascii(data, 7) === '\x01vorbis') sampleRate = clock = file.u32(data + 12, true);
    }
    for (let i = 0, from = data; i < segments; i += 1) {
      const lace = file.u8(at + 27 + i);
      // The first two packets are headers.
      if (!open && packets++ >= 2 && lace > 0) packetsMs += opusPacketMs(file.u8(from), lace > 1 ? file.u8(from + 1) : 0);
      open = lace === 255;
      from += lace;
    }
    const position = file.u32(at + 6, true) + file.u32(at + 10, true) * 2 ** 32;
    // All ones: no packet ends on this page.
    if (position < 2 ** 63) last = Math.max(last, position);
    at = data + length;
  }
  if (clock === 0) throw new UnreadableFile('it is neither Opus nor Vorbis');
  return { sampleRate, seconds: opus ? Math.max(last / clock, packetsMs / 1000) : last / clock, metadataBytes: 0 };
}

const MP3_RATES = [44_100, 48_000, 32_000];
const MP3_KBITS = {
  1: [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  2: [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  3: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  low1: [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  low23: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
} as const;

/** One frame's header (ISO 11172-3, 13818-3): its length in bytes, samples and rate; null where there is none. */
function mp3Frame(file: ByteReader, at: number): { readonly bytes: number; readonly samples: number; readonly rate: number } | null {
  if (at + 4 > file.size) return null;
  const head = file.u32(at);
  if (head >>> 21 !== 0x7ff) return null;
  const [version, layerBits, index, rateIndex] = [(head >>> 19) & 3, (head >>> 17) & 3, (head >>> 12) & 15, (head >>> 10) & 3];
  if (version === 1 || layerBits === 0 || index === 0 || index === 15 || rateIndex === 3) return null;
  const layer = (4 - layerBits) as 1 | 2 | 3;
  const full = version === 3;
  const kbits = full ? MP3_KBITS[layer][index] : (layer === 1 ? MP3_KBITS.low1 : MP3_KBITS.low23)[index];
  const rate = MP3_RATES[rateIndex]! / (full ? 1 : version === 2 ? 2 : 4);
  const samples = layer === 1 ? 384 : layer === 2 || full ? 1152 : 576;
  const padding = (head >>> 9) & 1;
  const bytes = layer === 1 ? (Math.floor((12_000 * kbits!) / rate) + padding) * 4 : Math.floor(((samples / 8) * 1000 * kbits!) / rate) + padding;
  return { bytes, samples, rate };
}

/** Frame after frame: what a header says of the whole length is not believed. */
function mp3Facts(file: ByteReader): Body {
  let metadataBytes = 0;
  if (file.ascii(0, 3) === 'ID3') metadataBytes = 10 + [6, 7, 8, 9].reduce((size, at) => size * 128 + (file.u8(at) & 0x7f), 0);
  let [at, seconds, sampleRate] = [metadataBytes, 0, 0];
  for (let frame = mp3Frame(file, at); frame !== null; frame = mp3Frame(file, at)) {
    sampleRate ||= frame.rate;
    seconds += frame.samples / frame.rate;
    at += frame.bytes;
  }
  if (sampleRate === 0) throw new UnreadableFile('it holds no sound');
  return { sampleRate, seconds, metadataBytes: metadataBytes + Math.max(0, file.size - at) };
}
