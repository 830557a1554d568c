import type { LowRank } from '../adapters/low-rank.ts';
import type { Kernels } from '../kernel-interface.ts';
import type { MatrixPlacement } from '../load/rank-plan.ts';
import { createMeeting } from './exchange.ts';
import { createMatrixRunner } from './matrix-runner.ts';
import { createOutputHead } from './output-head.ts';
import { createNorm, type RankContext } from './rank-context.ts';
import type { RankStart } from './rank-start.ts';
import { createRankSum } from './rank-sum.ts';
import { readRow } from './read-row.ts';
import { createReport } from './report-rows.ts';
import { createRotation } from './rotation.ts';
import { createLayer, type LayerRunner } from './run-layer.ts';
import type { SharedWork } from './shared-work.ts';
import { HEADER, RECORD } from './step-words.ts';

/** Evaluates the step that lies in the exchange: the whole forward pass of one rank. */
export function createForward(start: RankStart, kernels: Kernels, memory: SharedArrayBuffer, lowRank: LowRank, work: SharedWork): () => void {
  const { plan, model, exchange, ranks, batchTokens } = start;
  const { buffers, vocabulary, embedding } = plan;
  const { hidden, kvType } = model;
  const floats = new Float32Array(memory);
  const sharedStep = new Int32Array(exchange.step);
  const step = new Int32Array(memory, buffers.step, sharedStep.length);
  const stepFloats = new Float32Array(memory, buffers.step, sharedStep.length);
  const matrices = createMatrixRunner(kernels, work, buffers.prepared, lowRank);
  const meeting = createMeeting(new Int32Array(exchange.control), ranks, work.help);
  const sum = createRankSum(start, meeting, kernels, floats);
  const rotation = createRotation(model.ropes, buffers.ropes, kernels, floats, step);
  const report = createReport(start, kernels, memory);
  const words = new Int32Array(memory);
  const context: RankContext = { rank: plan.rank, ranks, hidden, batchTokens, kernels, kvType, buffers, matrices, rotation, sum, floats, words, step };
  const layers = plan.layers.map((layer) => createLayer(context, layer));
  const embeddingNorm = embedding.norm && createNorm(kernels, embedding.norm);
  const outputHead = plan.head && createOutputHead(context, plan.head);
  const finalNorm = plan.finalNorm && createNorm(kernels, plan.finalNorm);

  /**
   * The rank that holds a token's row of the embedding shares it: that costs one barrier and a copy of the row, where a table in every rank
   * would cost a fifth to a third of a small model's weights again.
   */
  function embed(tokens: number, sequences: number): void {
    const { first, count } = vocabulary;
    const { table, factor } = embedding;
    const own = (t: number): boolean => {
      const row = step[step[HEADER.firstToken]! + t]! - first;
      if (row < 0 || row >= count || table === null) return false;
      const y = buffers.residual + t * hidden * 4;
      readRow(kernels, table, row, y);
      lowRank.applyToRow(table, row, t, y);
      return true;
    };
    sum.gatherRows(tokens, own);
    if (factor !== 1) kernels.scaleBy(buffers.residual, tokens * hidden, factor);
    if (embedding.positions || embedding.types) addTables(sequences);
    embeddingNorm?.(buffers.residual, buffers.residual, tokens);
  }

  /** Encoders: rows by position, and by the text of a pair. */
  function addTables(sequences: number): void {
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      for (let t = 0; t < step[record + RECORD.tokens]!; t++) {
        const y = buffers.residual + (step[record + RECORD.firstToken]! + t) * hidden * 4;
        const add = (table: MatrixPlacement, row: number): void => {
          readRow(kernels, table, row, buffers.incoming);
          kernels.addInto(y, buffers.incoming, hidden);
        };
        if (embedding.positions) add(embedding.positions, step[record + RECORD.position]! + t);
        if (embedding.types) add(embedding.types, t < step[record + RECORD.secondText]! ? 0 : 1);
      }
    }
  }

  /** Keeps only the wanted rows, in order: after the last layer has seen all tokens nothing needs the others. */
  function keepWantedRows({ kept }: LayerRunner, sequences: number): void {
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      const count = step[record + RECORD.rows]!;
      const from = step[record + RECORD.firstToken]! + step[record + RECORD.tokens]! - count;
      const to = step[record + RECORD.firstRow]!;
      for (const { buffer, width } of kept) floats.copyWithin(buffer / 4 + to * width, buffer / 4 + from * width, buffer / 4 + (from + count) * width);
    }
  }

  /** The wanted rows behind the final norm, and their logits over the rank's part of the vocabulary. */
  function output(rows: number, sequences: number): void {
    if (rows === 0) return;
    if (finalNorm) finalNorm(buffers.residual, buffers.normed, rows);
    else floats.copyWithin(buffers.normed / 4, buffers.residual / 4, buffers.residual / 4 + rows * hidden);
    const logitRows = step[HEADER.logitRows]!;
    if (logitRows === 0) return;
    outputHead?.(logitRows, sequences);
    // Whoever is done helps the others.
    meeting.barrier();
  }

  const lastLayer = layers.length - 1;
  return () => {
    meeting.enter();
    step.set(sharedStep.subarray(0, sharedStep[HEADER.used]));
    const sequences = step[HEADER.sequences]!;
    const tokens = step[HEADER.tokens]!;
    const wanted = step[HEADER.rows]!;
    rotation.fill(sequences);
    lowRank.begin(step, stepFloats);
    embed(tokens, sequences);
    for (let i = 0; i <= lastLayer; i++) {
      const layer = layers[i]!;
      const trimmed = i === lastLayer && wanted < tokens;
      layer.remember(tokens, sequences);
      if (trimmed) {
        keepWantedRows(layer, sequences);
        lowRank.trim();
      }
      const rows = trimmed ? wanted : tokens;
      if (rows > 0) layer.finish(rows, sequences, trimmed);
    }
    output(wanted, sequences);
    report(step, stepFloats, sequences);
    meeting.leave();
  };
}
