import { HearthError } from '../../core/index.ts';
import { decodeFloats, isFloatDtype, type TensorEntry } from '../safetensors/index.ts';
import type { AdapterConfig } from './adapter-config.ts';
import { type AdapterModule, type AdapterModuleKind, isEmbeddingPath, transpose } from './adapter-table.ts';

export type PartRole = 'a' | 'b' | 'm';

/** One tensor of a module. */
export interface Part {
  readonly entry: TensorEntry;
  read(): Promise<Uint8Array>;
}

/** What a file holds of one module. */
export type ModuleParts = { -readonly [role in PartRole]?: Part };

/** Checks the tensors of one module and brings them into the order of the table. `file` is for messages. */
export async function buildModule(path: string, parts: ModuleParts, config: AdapterConfig, file: string): Promise<AdapterModule> {
  const peft = config.form === 'peft';
  const a = required(path, parts, 'a', file);
  const b = required(path, parts, 'b', file);
  const kind: AdapterModuleKind = a.entry.shape.length === 3 ? 'experts' : isEmbeddingPath(path) ? 'embedding' : 'linear';
  const [sizeA, sizeB] = [sizesOf(a.entry, kind), sizesOf(b.entry, kind)];
  // mlx keeps x·a·b order, PEFT and experts that of the weights.
  const inWeightOrder = peft || kind === 'experts';
  const [rankA, outer] = inWeightOrder ? [sizeA.rows, sizeA.columns] : [sizeA.columns, sizeA.rows];
  const [rankB, inner] = inWeightOrder ? [sizeB.columns, sizeB.rows] : [sizeB.rows, sizeB.columns];
  if (rankA !== rankB || sizeA.experts !== sizeB.experts) throw wrongShape(b.entry, `does not fit ${a.entry.name}, which is [${a.entry.shape.join(', ')}]`);
  const wanted = peft ? config.rankOf(path) : config.rank;
  if (rankA !== wanted)
    throw new HearthError('adapter_rank_mismatch', `${a.entry.name} in ${file} has rank ${rankA}, but adapter_config.json says ${wanted}.`, {
      details: { tensor: a.entry.name, found: rankA, expected: wanted },
    });
  const valuesA = await numbers(a, file);
  const valuesB = await numbers(b, file);
  // An embedding is looked up by the first factor and widened by the second: in W' = W + B·A they change places.
  const lookup = kind === 'embedding';
  const [inputs, outputs] = lookup ? [inner, outer] : [outer, inner];
  const asRankRows = (values: Float32Array, width: number, rankFirst: boolean): Float32Array => (rankFirst ? values : transpose(values, width, rankA));
  const asRankColumns = (values: Float32Array, width: number, rankFirst: boolean): Float32Array => (rankFirst ? transpose(values, rankA, width) : values);
  const [matrixA, matrixB] = lookup
    ? [asRankRows(valuesB, inputs, !inWeightOrder), asRankColumns(valuesA, outputs, inWeightOrder)]
    : [asRankRows(valuesA, inputs, inWeightOrder), asRankColumns(valuesB, outputs, !inWeightOrder)];
  const scale = peft ? config.scaleOf(path) : config.scale;
  const m = config.kind === 'dora' ? await magnitudes(required(path, parts, 'm', file), outputs, file) : null;
  return { path, kind, rank: rankA, scale, inputs, outputs, experts: sizeA.experts, a: matrixA, b: matrixB, m };
}

const ROLE_NAMES: Readonly<Record<PartRole, string>> = { a: 'first', b: 'second', m: 'magnitude' };

function required(path: string, parts: ModuleParts, role: PartRole, file: string): Part {
  const part = parts[role];
  if (part) return part;
  const there = Object.values(parts).map((other) => other.entry.name);
  throw new HearthError('adapter_tensor_missing', `${file} lacks the ${ROLE_NAMES[role]} tensor of ${path}; it holds ${there.join(' and ')}.`, {
    details: { module: path },
  });
}

function sizesOf(entry: TensorEntry, kind: AdapterModuleKind): { experts: number; rows: number; columns: number } {
  const expected = kind === 'experts' ? 3 : 2;
  const [experts, rows, columns] = entry.shape.length === 2 ? [1, ...entry.shape] : entry.shape;
  if (entry.shape.length !== expected || entry.shape.includes(0)) throw wrongShape(entry, `is not a matrix of ${expected} dimensions`);
  return { experts: experts!, rows: rows!, columns: columns! };
}

async function magnitudes(part: Part, outputs: number, file: string): Promise<Float32Array> {
  const { shape } = part.entry;
  // PEFT of old wrote a row vector.
  if (shape.at(-1) !== outputs || shape.some((size, i) => i < shape.length - 1 && size !== 1)) throw wrongShape(part.entry, `should hold ${outputs} values`);
  return numbers(part, file);
}

async function numbers(part: Part, file: string): Promise<Float32Array> {
  const { name, dtype } = part.entry;
  if (!isFloatDtype(dtype)) throw wrongShape(part.entry, `is of type ${dtype}; F32, F16 and BF16 can be read`);
  const values = decodeFloats(dtype, await part.read());
  for (let i = 0; i < values.length; i++)
    if (!Number.isFinite(values[i]))
      throw new HearthError('adapter_not_finite', `${name} in ${file} holds ${values[i]} at place ${i}: its training broke.`, { details: { tensor: name } });
  return values;
}

const wrongShape = (entry: TensorEntry, why: string): HearthError =>
  new HearthError('adapter_shape_mismatch', `The adapter's tensor ${entry.name} [${entry.shape.join(', ')}] ${why}.`, {
    details: { tensor: entry.name, found: [...entry.shape] },
  });
