/** What a picture says of itself: place, day and camera. Only what is well-formed; everything else counts as not there. */
export interface PictureFacts {
  /** Degrees; south and west are negative. */
  readonly place?: { readonly latitude: number; readonly longitude: number };
  /** `YYYY-MM-DD`: from the GPS stamp, else the time of the picture; never the time of the last change. */
  readonly day?: string;
  readonly camera?: string;
}

/** Exif 2.32 in JPEG (APP1), PNG (eXIf) and WebP (EXIF). Every offset is checked; a loop of directories cannot occur, since each is read once. */
export function readPictureFacts(bytes: Uint8Array): PictureFacts {
  const tiff = tiffOf(bytes);
  if (tiff === null) return {};
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const order = view.byteLength < 8 ? 0 : view.getUint16(0);
  if (order !== 0x4949 && order !== 0x4d4d) return {};
  const reader: Reader = { view, little: order === 0x4949 };
  if (view.getUint16(2, reader.little) !== 42) return {};
  const main = directory(reader, view.getUint32(4, reader.little));
  const exif = directory(reader, numbers(reader, main.get(TAG.exif))[0]);
  const gps = directory(reader, numbers(reader, main.get(TAG.gps))[0]);
  const place = placeOf(reader, gps);
  const day = dayOf(text(reader, gps.get(GPS.day))) ?? dayOf(text(reader, exif.get(TAG.taken)));
  const camera = cameraOf(text(reader, main.get(TAG.make)), text(reader, main.get(TAG.model)));
  return { ...(place === undefined ? {} : { place }), ...(day === null ? {} : { day }), ...(camera === '' ? {} : { camera }) };
}

const TAG = { make: 0x010f, model: 0x0110, exif: 0x8769, gps: 0x8825, taken: 0x9003 } as const;
const GPS = { latitudeSide: 1, latitude: 2, longitudeSide: 3, longitude: 4, day: 29 } as const;
const [ASCII, SHORT, LONG, RATIONAL] = [2, 3, 4, 5];
const SIZES: Readonly<Record<number, number>> = { [ASCII]: 1, [SHORT]: 2, [LONG]: 4, [RATIONAL]: 8 };

interface Reader {
  readonly view: DataView;
  readonly little: boolean;
}

interface Entry {
  readonly type: number;
  readonly count: number;
  readonly offset: number;
}

function directory({ view, little }: Reader, offset: number | undefined): Map<number, Entry> {
  const entries = new Map<number, Entry>();
  if (offset === undefined || offset < 8 || offset + 2 > view.byteLength) return entries;
  const count = view.getUint16(offset, little);
  for (let i = 0; i < count; i += 1) {
    const at = offset + 2 + i * 12;
    if (at + 12 > view.byteLength) break;
    const [type, values] = [view.getUint16(at + 2, little), view.getUint32(at + 4, little)];
    const bytes = (SIZES[type] ?? 0) * values;
    if (bytes === 0) continue;
    const where = bytes <= 4 ? at + 8 : view.getUint32(at + 8, little);
    if (where + bytes <= view.byteLength) entries.set(view.getUint16(at, little), { type, count: values, offset: where });
  }
  return entries;
}

function text({ view }: Reader, entry: Entry | undefined): string {
  if (entry?.type !== ASCII || entry.count > 256) return '';
  const bytes = new Uint8Array(view.buffer, view.byteOffset + entry.offset, entry.count);
  return new TextDecoder('latin1')
    .decode(bytes)
    .replace(/\0.*$/s, '')
    .replaceAll(/\p{Cc}/gu, ' ')
    .trim();
}

function numbers({ view, little }: Reader, entry: Entry | undefined): number[] {
  if (entry === undefined || entry.count > 16) return [];
  return Array.from({ length: entry.count }, (_, i) => {
    const at = entry.offset + i * SIZES[entry.type]!;
    if (entry.type === SHORT) return view.getUint16(at, little);
    if (entry.type === LONG) return view.getUint32(at, little);
    return entry.type === RATIONAL ? view.getUint32(at, little) / view.getUint32(at + 4, little) : Number.NaN;
  });
}

/** Degrees, minutes, seconds. Null Island is a place: 0° stays. */
function placeOf(reader: Reader, gps: ReadonlyMap<number, Entry>): PictureFacts['place'] {
  const degrees = (value: number, side: number, negative: string, most: number): number => {
    const [whole = Number.NaN, minutes = 0, seconds = 0] = numbers(reader, gps.get(value));
    const size = whole + minutes / 60 + seconds / 3600;
    if (!(size <= most)) return Number.NaN;
    return text(reader, gps.get(side)).toUpperCase() === negative && size !== 0 ? -size : size;
  };
  const latitude = degrees(GPS.latitude, GPS.latitudeSide, 'S', 90);
  const longitude = degrees(GPS.longitude, GPS.longitudeSide, 'W', 180);
  return Number.isFinite(latitude) && Number.isFinite(longitude) ? { latitude, longitude } : undefined;
}

function dayOf(stamp: string): string | null {
  const [, year, month, day] = /^(\d{4})[:-](\d\d)[:-](\d\d)/.exec(stamp) ?? [];
  return year === undefined || year === '0000' || !(Number(month) >= 1 && Number(month) <= 12 && Number(day) >= 1 && Number(day) <= 31)
    ? null
    : `${year}-${month}-${day}`;
}

const cameraOf = (make: string, model: string): string =>
  make === '' || model.toLowerCase().startsWith(make.toLowerCase()) ? model : `${make} ${model}`.trim();

/** The TIFF block inside the picture's container. */
function tiffOf(bytes: Uint8Array): Uint8Array | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at: number, length: number): string => String.fromCharCode(...bytes.subarray(at, at + length));
  if (bytes.length > 4 && view.getUint16(0) === 0xffd8) {
    for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; at += 2 + view.getUint16(at + 2)) {
      if (bytes[at + 1] === 0xda || view.getUint16(at + 2) < 2) return null;
      if (bytes[at + 1] === 0xe1 && name(at + 4, 6) === 'Exif\0\0') return bytes.subarray(at + 10, at + 2 + view.getUint16(at + 2));
    }
    return null;
  }
  if (name(0, 8) === '\x89PNG\r\n\x1a\n') return chunk({ at: 8, wanted: 'eXIf', lengthFirst: true });
  return name(0, 4) === 'RIFF' && name(8, 4) === 'WEBP' ? chunk({ at: 12, wanted: 'EXIF', lengthFirst: false }) : null;

  function chunk({ at, wanted, lengthFirst }: { at: number; readonly wanted: string; readonly lengthFirst: boolean }): Uint8Array | null {
    for (; at + 8 <= bytes.length; ) {
      const length = lengthFirst ? view.getUint32(at) : view.getUint32(at + 4, true);
      const found = name(lengthFirst ? at + 4 : at, 4);
      if (found === wanted) {
        const data = bytes.subarray(at + 8, at + 8 + length);
        return name(at + 8, 6) === 'Exif\0\0' ? data.subarray(6) : data;
      }
      at += 8 + length + (lengthFirst ? 4 : length % 2);
    }
    return null;
  }
}
