import { ggufTypeById, REMOVED_TYPE_IDS } from './block-types.ts';
import type { GgufTensor } from './header.ts';
import { type HeaderReader, Refusal } from './header-reader.ts';

const MAX_RANK = 4;
const MAX_DIM = 2n ** 40n;
const LIMIT = 2n ** 63n;

/** Reads one tensor info; the offset is still relative to the data, as written. */
export function readTensorInfo(reader: HeaderReader): GgufTensor {
  const name = reader.tensorName();
  const rank = reader.u32();
  if (rank === 0 || rank > MAX_RANK) throw new Refusal('gg_rank', `The tensor ${name} has ${rank} dimensions; 1 to ${MAX_RANK} are allowed.`);
  let elements = 1n;
  const dims: number[] = [];
  for (let axis = 0; axis < rank; axis += 1) {
    const dim = reader.u64();
    if (dim === 0n || dim > MAX_DIM) throw new Refusal('gg_dim', `The tensor ${name} has a dimension of ${dim}.`);
    elements *= dim;
    dims.push(Number(dim));
  }
  if (elements >= LIMIT) throw new Refusal('gg_elements_overflow', `The tensor ${name} declares ${elements} elements.`);
  const typeId = reader.u32();
  if (REMOVED_TYPE_IDS.has(typeId)) throw new Refusal('gg_type_removed', `The tensor ${name} has type ${typeId}, which was taken out of the format.`);
  const type = ggufTypeById(typeId);
  if (type === undefined) throw new Refusal('gg_type_unknown', `The tensor ${name} has the unknown type ${typeId}.`);
  if (dims[0]! % type.elements !== 0) {
    throw new Refusal('gg_row_block', `Rows of ${name} have ${dims[0]} elements, not a multiple of the ${type.elements} of a ${type.name} block.`);
  }
  const bytes = (elements / BigInt(type.elements)) * BigInt(type.bytes);
  if (bytes >= LIMIT) throw new Refusal('gg_bytes_overflow', `The tensor ${name} declares ${bytes} bytes.`);
  return { name, type: type.name, dims, elements: Number(elements), offset: Number(reader.u64()), bytes: Number(bytes) };
}

/** Checks that tensors lie one after the other inside the file, and turns their offsets into file offsets. */
export function checkLayout(
  tensors: ReadonlyMap<string, GgufTensor>,
  layout: { readonly dataOffset: number; readonly alignment: number; readonly fileSize: number },
): Map<string, GgufTensor> {
  const { dataOffset, alignment, fileSize } = layout;
  const placed = new Map<string, GgufTensor>();
  let expected = 0;
  let end = dataOffset;
  for (const tensor of tensors.values()) {
    if (tensor.offset % alignment !== 0) throw new Refusal('gg_offset_alignment', `The offset of ${tensor.name} is not a multiple of ${alignment}.`);
    if (tensor.offset !== expected) throw new Refusal('gg_offset_order', `The data of ${tensor.name} do not follow those of the tensor before.`);
    const offset = dataOffset + tensor.offset;
    end = offset + tensor.bytes;
    if (end > fileSize) throw new Refusal('gg_past_eof', `The data of ${tensor.name} end at byte ${end}; the file has ${fileSize}.`);
    expected += Math.ceil(tensor.bytes / alignment) * alignment;
    placed.set(tensor.name, { ...tensor, offset });
  }
  if (fileSize - end > alignment) throw new Refusal('gg_trailing_bytes', `${fileSize - end} bytes follow the last tensor.`);
  return placed;
}
