import { execFile } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { HearthError, systemError } from '../../core/index.ts';
import { formatSize } from '../render/size.ts';

/** Media for a model: bytes of a known type, never a path. */
export interface MediaFile {
  readonly name: string;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

const MEGABYTE = 1_000_000;
const MISSING = 'there is no such file';
export const MEDIA_LIMITS = { imageBytes: 10 * MEGABYTE, audioBytes: 50 * MEGABYTE, audioFiles: 1 } as const;

/** The files of --image: JPEG, PNG, GIF or WebP of at most 10 MB each. Throws invalid_value naming the file. */
export async function readImages(cwd: string, paths: readonly string[]): Promise<MediaFile[]> {
  // Words after the files are taken for files too.
  const missing = paths.length > 1 ? `${MISSING}; a prompt goes in front of --image, or into --prompt` : MISSING;
  const rule = { what: 'Image', limit: MEDIA_LIMITS.imageBytes, typeOf: imageType, types: 'JPEG, PNG, GIF or WebP', missing };
  const files: MediaFile[] = [];
  for (const path of paths) files.push(await readMedia(cwd, path, rule));
  return files;
}

/** The file of --audio: one of at most 50 MB; what is not WAV, MP3 or FLAC goes through ffmpeg. Throws invalid_value, dependency_missing. */
export async function readAudio(cwd: string, paths: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<MediaFile | null> {
  if (paths.length > MEDIA_LIMITS.audioFiles) throw new HearthError('invalid_value', `One audio file at a time: ${paths.length} were given.`);
  const [path] = paths;
  if (path === undefined) return null;
  const file = await readMedia(cwd, path, { what: 'Audio file', limit: MEDIA_LIMITS.audioBytes, typeOf: audioType, types: 'WAV, MP3, FLAC, M4A, Ogg or WebM' });
  if (['audio/wav', 'audio/mpeg', 'audio/flac'].includes(file.mediaType)) return file;
  return { name: file.name, mediaType: 'audio/wav', bytes: await toWav(resolve(cwd, path), file.name, env) };
}

interface MediaRule {
  readonly what: string;
  readonly limit: number;
  readonly typeOf: (bytes: Buffer) => string | null;
  readonly types: string;
  readonly missing?: string;
}

async function readMedia(cwd: string, path: string, rule: MediaRule): Promise<MediaFile> {
  const wrong = (reason: string, cause?: unknown) => new HearthError('invalid_value', `${rule.what} ${path}: ${reason}.`, { cause, details: { path } });
  const handle = await open(resolve(cwd, path)).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' || error.code === 'ENOTDIR' ? wrong(rule.missing ?? MISSING, error) : (systemError(error) ?? error);
  });
  try {
    const facts = await handle.stat();
    if (!facts.isFile()) throw wrong('this is no file');
    if (facts.size === 0) throw wrong('the file is empty');
    if (facts.size > rule.limit) throw wrong(`${formatSize(facts.size)} are too much; at most ${formatSize(rule.limit)} are taken`);
    const bytes = await readWhole(handle, facts.size);
    const mediaType = rule.typeOf(bytes);
    if (mediaType === null) throw wrong(`this is no ${rule.types} file`);
    return { name: basename(path), mediaType, bytes };
  } finally {
    await handle.close();
  }
}

/** No more than was measured: a file may grow meanwhile. */
async function readWhole(handle: FileHandle, size: number): Promise<Buffer> {
  const buffer = Buffer.alloc(size);
  let filled = 0;
  while (filled < size) {
    const { bytesRead } = await handle.read(buffer, filled, size - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

const ascii = (bytes: Buffer, from: number, to: number): string => bytes.toString('latin1', from, to);

function imageType(bytes: Buffer): string | null {
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return 'image/jpeg';
  if (ascii(bytes, 0, 8) === '\x89PNG\r\n\x1a\n') return 'image/png';
  if (/^GIF8[79]a$/.test(ascii(bytes, 0, 6))) return 'image/gif';
  return ascii(bytes, 0, 4) === 'RIFF' && ascii(bytes, 8, 12) === 'WEBP' ? 'image/webp' : null;
}

function audioType(bytes: Buffer): string | null {
  const head = ascii(bytes, 0, 4);
  if (head === 'RIFF' && ascii(bytes, 8, 12) === 'WAVE') return 'audio/wav';
  if (head === 'fLaC') return 'audio/flac';
  if (head.startsWith('ID3') || (bytes[0] === 0xff && ((bytes[1] ?? 0) & 0xe0) === 0xe0)) return 'audio/mpeg';
  if (head === 'OggS') return 'audio/ogg';
  if (ascii(bytes, 4, 8) === 'ftyp') return 'audio/mp4';
  return head === '\x1a\x45\xdf\xa3' ? 'audio/webm' : null;
}

/** One channel of 16 kHz, which every speech model takes. */
function toWav(path: string, name: string, env: Readonly<Record<string, string | undefined>>): Promise<Buffer> {
  const args = ['-nostdin', '-v', 'error', '-i', path, '-ac', '1', '-ar', '16000', '-f', 'wav', 'pipe:1'];
  return new Promise((done, reject) => {
    execFile('ffmpeg', args, { encoding: 'buffer', maxBuffer: 512 * MEGABYTE, timeout: 120_000, env: { PATH: env['PATH'] } }, (error, stdout, stderr) => {
      if (error === null) done(stdout);
      else if (error.code === 'ENOENT')
        reject(
          new HearthError('dependency_missing', `${name} has to be converted by ffmpeg, which is not installed; WAV, MP3 and FLAC need none.`, {
            cause: error,
          }),
        );
      else reject(new HearthError('invalid_value', `ffmpeg could not read ${name}: ${String(stderr).trim().split('\n').at(-1) ?? ''}`, { cause: error }));
    });
  });
}
