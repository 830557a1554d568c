import type { TensorEntry } from './entry-reader.ts';
import { quoted, Refusal } from './refusal.ts';

/** Tensors must cover the data exactly: from its first byte to its last, without gap or overlap. Throws Refusal. */
export function checkLayout(entries: TensorEntry[], dataStart: number, fileSizeBytes: number): void {
  for (const entry of entries)
    if (entry.offset + entry.bytes > fileSizeBytes) throw new Refusal('st_past_eof', `${quoted(entry.name)} reaches past the end of the file`);
  entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  if (entries[0]!.offset !== dataStart) throw new Refusal('st_first_not_zero', 'no tensor starts at the first byte of the data');
  let cursor = dataStart;
  for (const entry of entries) {
    if (entry.offset > cursor) throw new Refusal('st_gap', `bytes before ${quoted(entry.name)} belong to no tensor`);
    if (entry.offset < cursor && entry.bytes === 0) throw new Refusal('st_zero_size_inside', `the empty ${quoted(entry.name)} lies inside another tensor`);
    if (entry.offset < cursor) throw new Refusal('st_overlap', `${quoted(entry.name)} overlaps another tensor`);
    cursor += entry.bytes;
  }
  if (cursor < fileSizeBytes) throw new Refusal('st_trailing_bytes', `${fileSizeBytes - cursor} bytes follow the last tensor`);
}
