import type { Lock } from '../types.ts';

/** All that a bill of materials tells, before it takes the form of a standard. */
export interface Inventory {
  readonly product: { readonly name: string; readonly version: string; readonly licence: string };
  /** Of hearth's packages; empty for the bill of one model. */
  readonly npm: Lock | null;
  /** Of the installed Python environment; null: none is. */
  readonly python: Lock | null;
  readonly binaries: readonly NativeBinary[];
  readonly models: readonly ModelEntry[];
  /** The bill is that of this model. */
  readonly subject: string | null;
  /** RFC 3339. */
  readonly createdAt: string;
  /** UUID. */
  readonly serial: string;
}

/** A file of machine code (WebAssembly too). */
export interface NativeBinary {
  /** Unique in the bill: path in the package, or in the environment. */
  readonly name: string;
  readonly owner: 'product' | 'runtime' | 'python';
  readonly version: string | null;
  readonly sha256: string;
  /** Hex, of an ELF file that has one. */
  readonly buildId: string | null;
}

export interface ModelEntry {
  /** As the store names it. */
  readonly id: string;
  /** 40 hex digits of the commit; null for a folder of the user. */
  readonly revision: string | null;
  /** Where it can be looked up: `org/name` of a hub; null for other origins. */
  readonly hubName: string | null;
  readonly cardUrl: string | null;
  readonly format: string;
  readonly task: string | null;
  readonly architectureFamily: string | null;
  readonly architecture: string | null;
  readonly quantization: string | null;
  readonly licence: string | null;
  readonly baseModels: readonly string[];
  readonly datasets: readonly string[];
  readonly metrics: readonly { readonly type: string; readonly value: string; readonly slice: string | null }[];
  /** How it was made here, where it was. */
  readonly notes: string | null;
  readonly rootDigest: string | null;
  readonly templates: readonly { readonly file: string; readonly sha256: string }[];
  readonly files: readonly ModelFileEntry[];
}

export interface ModelFileEntry {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}
