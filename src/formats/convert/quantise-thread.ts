import { parentPort } from 'node:worker_threads';
import { type QuantisePiece, quantisePiece } from './quantise-piece.ts';

/** Program of a worker thread: pieces in, codes out, in the order in which they came. */
parentPort!.on('message', (piece: QuantisePiece) => {
  const made = quantisePiece(piece);
  const moved = made.kind === 'made' ? [made.words.buffer, made.scales.buffer as ArrayBuffer, made.biases.buffer as ArrayBuffer] : [];
  parentPort!.postMessage(made, moved);
});
