import { closeSync, openSync, readSync } from 'node:fs';
import type { Kernels } from '../kernel-interface.ts';
import type { ReadPiece } from './rank-plan.ts';

/** Largest single read. */
const PIECE_BYTES = 8 * 1024 * 1024;
/** Rows of which columns are wanted: few enough to stay in a core's cache between the two copies. */
const ROWS_BYTES = 512 * 1024;

interface Target {
  readonly bytes: Uint8Array;
  readonly kernels: Kernels;
  /** Where vectors lie before they are widened. */
  readonly staging: number;
}

/** Reads a rank's slices straight into its memory. Files were verified before; one that is shorter now is refused. */
export function readPieces(pieces: readonly ReadPiece[], target: Target, onBytes: (bytes: number) => void): void {
  const files = new Map<string, number>();
  let rowBuffer: Uint8Array | null = null;
  try {
    for (const piece of pieces) {
      let file = files.get(piece.file);
      if (file === undefined) {
        file = openSync(piece.file, 'r');
        files.set(piece.file, file);
      }
      if (piece.bytes < piece.rowBytes) {
        if (rowBuffer === null || rowBuffer.length < piece.rowBytes) rowBuffer = new Uint8Array(Math.max(ROWS_BYTES, piece.rowBytes));
        readColumns(file, piece, target.bytes, rowBuffer, onBytes);
        refuseNoNumbers(piece, target.bytes);
        continue;
      }
      const destination = piece.widen === null ? piece.destination : target.staging;
      readRows(file, piece, target.bytes, destination, onBytes);
      refuseNoNumbers(piece, target.bytes);
      if (piece.widen === null) continue;
      target.kernels.widen(piece.widen, destination, piece.destination, piece.rows);
      if (piece.plus !== 0) addTo(new Float32Array(target.bytes.buffer, piece.destination, piece.rows), piece.plus);
    }
  } finally {
    for (const file of files.values()) closeSync(file);
  }
}

function refuseNoNumbers({ tensor, destination, rows, bytes, noNumber = [] }: ReadPiece, memory: Uint8Array): void {
  const part = memory.subarray(destination, destination + rows * bytes);
  const found = noNumber.find((byte) => part.includes(byte));
  if (found !== undefined) throw new Error(`Tensor ${tensor}: a scale is the byte ${found}, which is no number. The file is damaged, or was made wrongly.`);
}

function addTo(values: Float32Array, plus: number): void {
  for (let i = 0; i < values.length; i++) values[i]! += plus;
}

/** Whole rows lie one after another in the file. */
function readRows(file: number, piece: ReadPiece, memory: Uint8Array, destination: number, onBytes: (bytes: number) => void): void {
  const total = piece.rows * piece.rowBytes;
  const start = piece.fileOffset + piece.firstRow * piece.rowBytes;
  for (let done = 0; done < total; ) {
    const count = Math.min(PIECE_BYTES, total - done);
    readFully(file, piece, memory, destination + done, count, start + done);
    done += count;
    onBytes(count);
  }
}

/** Columns of every row: rows are read whole, and the wanted part of each is kept. */
function readColumns(file: number, piece: ReadPiece, memory: Uint8Array, rowBuffer: Uint8Array, onBytes: (bytes: number) => void): void {
  const rowsAtOnce = Math.floor(rowBuffer.length / piece.rowBytes);
  for (let row = 0; row < piece.rows; row += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, piece.rows - row);
    readFully(file, piece, rowBuffer, 0, count * piece.rowBytes, piece.fileOffset + (piece.firstRow + row) * piece.rowBytes);
    for (let i = 0; i < count; i++) {
      const from = i * piece.rowBytes + piece.firstByte;
      memory.set(rowBuffer.subarray(from, from + piece.bytes), piece.destination + (row + i) * piece.bytes);
    }
    onBytes(count * piece.bytes);
  }
}

function readFully(file: number, piece: ReadPiece, into: Uint8Array, offset: number, count: number, position: number): void {
  for (let done = 0; done < count; ) {
    const got = readSync(file, into, offset + done, count - done, position + done);
    if (got === 0) throw new Error(`${piece.file} ends inside the tensor ${piece.tensor}.`);
    done += got;
  }
}
