import { createHash } from 'node:crypto';
import { type PictureFacts, readPictureFacts } from './exif.ts';

/** One picture of a call, with its number in the whole call. */
export interface NumberedImage {
  readonly id: number;
  readonly hash: string;
  /** As the sender called it. */
  readonly name: string | null;
  readonly facts: PictureFacts;
}

export interface ImageSource {
  readonly name: string | null;
  readonly bytes: Uint8Array;
}

/** Ids 1 … N over the whole call, by content: the same picture has the same number. Without `exif` nothing of the pictures is read. */
export function numberImages(sources: readonly ImageSource[], exif: boolean): NumberedImage[] {
  const ids = new Map<string, number>();
  return sources.map(({ name, bytes }) => {
    const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 8);
    const id = ids.get(hash) ?? ids.size + 1;
    ids.set(hash, id);
    return { id, hash, name, facts: exif ? readPictureFacts(bytes) : {} };
  });
}

/** Which part of a call this is; null: the call is not cut into parts. */
export interface BatchPlace {
  readonly index: number;
  readonly count: number;
  readonly first: number;
  readonly last: number;
}

/** The table in front of an answer (docs/spec/store.md §10, exactly). */
export function imageTable(images: readonly NumberedImage[], place: BatchPlace | null, exif: boolean): string {
  const title = place === null ? `Image Metadata (${images.length} images)` : `Chunk ${place.index}/${place.count}: Images ${place.first}-${place.last}`;
  const titles = exif ? ['Image', 'Filename', 'Original', 'Location', 'Date', 'Camera'] : ['Image', 'Filename'];
  const rows = images.map(({ id, hash, name, facts }) => {
    const file = `image_${hash}.jpeg`;
    return exif ? [String(id), file, cell(name ?? '-'), location(facts), day(facts), cell(facts.camera ?? '-')] : [String(id), file];
  });
  const table = [titles, titles.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
  return `<details>\n<summary>📸 ${title}</summary>\n\n<!-- mlxk:filenames -->\n${table}\n\n</details>\n\n`;
}

/** What the model is told of its pictures, a line each; pictures that say nothing get none. The number counts within the batch. */
export function imageNotes(images: readonly NumberedImage[]): string {
  const lines = images.map(({ facts }, i) => {
    const known = [
      ...(facts.place === undefined ? [] : [`GPS: ${coordinates(facts.place)}`]),
      ...(facts.day === undefined ? [] : [`Date: ${facts.day}`]),
      ...(facts.camera === undefined ? [] : [`Camera: ${facts.camera}`]),
    ];
    if (known.length === 0) return null;
    return images.length === 1 ? `[${known.join(' | ')}]` : `Image ${i + 1} [${known.join(' | ')}]`;
  });
  return lines.filter((line) => line !== null).join('\n');
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ');
const location = ({ place }: PictureFacts): string => (place === undefined ? '-' : `📍 ${coordinates(place)}`);
const day = (facts: PictureFacts): string => (facts.day === undefined ? '-' : `📅 ${facts.day}`);

function coordinates({ latitude, longitude }: NonNullable<PictureFacts['place']>): string {
  const part = (value: number, sides: readonly [string, string]): string => `${Math.abs(value).toFixed(4)}°${value < 0 ? sides[1] : sides[0]}`;
  return `${part(latitude, ['N', 'S'])}, ${part(longitude, ['E', 'W'])}`;
}
