import type { Kernels } from '../kernel-interface.ts';
import type { LayerPlacement } from '../load/rank-plan.ts';
import { createMeeting } from './exchange.ts';
import { createMatrixRunner } from './matrix-runner.ts';
import type { RankStart } from './rank-start.ts';
import { createRankSum } from './rank-sum.ts';
import { createReport } from './report-rows.ts';
import { HEADER, RECORD } from './step-words.ts';

/** Evaluates the step that lies in the exchange: the whole forward pass of one rank. */
export function createForward(start: RankStart, kernels: Kernels, memory: SharedArrayBuffer): () => void {
  const { plan, model, exchange } = start;
  const { buffers, split } = plan;
  const { hidden, headDim } = model;
  const heads = split.heads.count;
  const kvHeads = split.kvHeads.count;
  const words = new Int32Array(memory);
  const floats = new Float32Array(memory);
  const sharedStep = new Int32Array(exchange.step);
  const step = new Int32Array(memory, buffers.step, sharedStep.length);
  const stepFloats = new Float32Array(memory, buffers.step, sharedStep.length);
  const matrices = createMatrixRunner(kernels, buffers.prepared);
  const meeting = createMeeting(new Int32Array(exchange.control), start.ranks);
  const sum = createRankSum(start, meeting, kernels, floats);
  const report = createReport(start, kernels, memory);
  const { inverseFrequencies, magnitude, traditional } = model.rope;
  const pairs = inverseFrequencies.length;
  const rotaryDim = pairs * 2;
  const neighbours = traditional ? 1 : 0;
  const queryStride = heads * headDim;
  const keyStride = kvHeads * headDim;
  words.set(split.headToKv, buffers.headToKv / 4);

  function fillRotation(sequences: number): void {
    let at = 0;
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      const position = step[record + RECORD.position]!;
      for (let t = 0; t < step[record + RECORD.tokens]!; t++)
        for (let i = 0; i < pairs; i++, at++) {
          const angle = Math.fround((position + t) * inverseFrequencies[i]!);
          floats[buffers.cosines / 4 + at] = Math.cos(angle) * magnitude;
          floats[buffers.sines / 4 + at] = Math.sin(angle) * magnitude;
        }
    }
  }

  /**
   * The rank that holds a token's row of the embedding shares it: that costs one barrier and a copy of the row, where a table in every rank
   * would cost a fifth to a third of a small model's weights again.
   */
  function embed(tokens: number): void {
    const { first, count } = split.vocabulary;
    const table = plan.embedding;
    const own = (t: number): boolean => {
      const row = step[step[HEADER.firstToken]! + t]! - first;
      if (row < 0 || row >= count || table === null) return false;
      const y = buffers.residual + t * hidden * 4;
      if (table.form === 'plain') kernels.widen(table.type, table.weight + row * hidden * (table.type === 2 ? 4 : 2), y, hidden);
      else kernels.dequantiseRow(table.bits, table.group, table.scaleType, table.weight, table.scales, table.biases, row, hidden, y);
      return true;
    };
    sum.gatherRows(tokens, own);
  }

  /** Keys and values of all tokens, into the cache. */
  function remember(layer: LayerPlacement, tokens: number, sequences: number): void {
    kernels.rmsNorm(buffers.residual, layer.attentionNorm, buffers.normed, tokens, hidden, model.epsilon);
    matrices.input(buffers.normed, tokens);
    matrices.multiply(layer.key!, model.activations.qkv, buffers.key);
    matrices.multiply(layer.value!, model.activations.qkv, buffers.value);
    if (layer.keyNorm !== 0) kernels.rmsNorm(buffers.key, layer.keyNorm, buffers.key, tokens * kvHeads, headDim, model.epsilon);
    kernels.rope(buffers.key, tokens, kvHeads, headDim, rotaryDim, keyStride, buffers.cosines, buffers.sines, neighbours);
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      const position = step[record + RECORD.position]!;
      const keys = step[record + RECORD.firstToken]! * keyStride * 4;
      const pages = buffers.step + step[record + RECORD.pages]! * 4;
      const count = step[record + RECORD.tokens]!;
      kernels.storeKv(
        model.kvType,
        buffers.key + keys,
        buffers.value + keys,
        keyStride,
        layer.kvBase,
        plan.pageStride,
        pages,
        position,
        count,
        kvHeads,
        headDim,
      );
    }
  }

  /** Queries of the rows that are still needed: all tokens, or in the last layer those whose logits are wanted. */
  function attend(layer: LayerPlacement, rows: number, sequences: number, trimmed: boolean): void {
    if (trimmed) matrices.input(buffers.normed, rows);
    matrices.multiply(layer.query!, model.activations.qkv, buffers.query);
    if (layer.queryNorm !== 0) kernels.rmsNorm(buffers.query, layer.queryNorm, buffers.query, rows * heads, headDim, model.epsilon);
    kernels.rope(buffers.query, rows, heads, headDim, rotaryDim, queryStride, buffers.cosines, buffers.sines, neighbours);
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      const tokens = step[record + RECORD.tokens]!;
      const count = trimmed ? step[record + RECORD.rows]! : tokens;
      if (count === 0) continue;
      const first = step[record + (trimmed ? RECORD.firstRow : RECORD.firstToken)]! * queryStride * 4;
      kernels.attend(
        model.kvType,
        buffers.query + first,
        queryStride,
        buffers.attention + first,
        queryStride,
        layer.kvBase,
        plan.pageStride,
        buffers.step + step[record + RECORD.pages]! * 4,
        step[record + RECORD.position]! + tokens - count,
        count,
        heads,
        buffers.headToKv,
        kvHeads,
        headDim,
        model.attentionScale,
        layer.window,
        0,
        0,
        0,
        buffers.attendScratch,
      );
    }
    matrices.input(buffers.attention, rows);
    matrices.multiply(layer.attentionOutput!, model.activations.rest, buffers.partial);
  }

  function mlp(layer: LayerPlacement, tokens: number): void {
    kernels.rmsNorm(buffers.residual, layer.mlpNorm, buffers.normed, tokens, hidden, model.epsilon);
    matrices.input(buffers.normed, tokens);
    matrices.multiply(layer.gate!, model.activations.rest, buffers.gate);
    matrices.multiply(layer.up!, model.activations.rest, buffers.up);
    kernels.siluMultiply(buffers.gate, buffers.up, buffers.gate, tokens * split.mlp.count);
    matrices.input(buffers.gate, tokens);
    matrices.multiply(layer.down!, model.activations.rest, buffers.partial);
  }

  /** Keeps only the rows whose logits are wanted, in order: after the last layer's keys and values nothing needs the others. */
  function keepWantedRows(sequences: number): void {
    const keep = (buffer: number, width: number, to: number, from: number, count: number): void => {
      const at = buffer / 4;
      floats.copyWithin(at + to * width, at + from * width, at + (from + count) * width);
    };
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      const count = step[record + RECORD.rows]!;
      const from = step[record + RECORD.firstToken]! + step[record + RECORD.tokens]! - count;
      const to = step[record + RECORD.firstRow]!;
      keep(buffers.residual, hidden, to, from, count);
      keep(buffers.normed, hidden, to, from, count);
      keep(buffers.cosines, pairs, to, from, count);
      keep(buffers.sines, pairs, to, from, count);
    }
  }

  /** The wanted rows behind the final norm, and their logits over the rank's part of the vocabulary. */
  function output(rows: number): void {
    if (rows === 0) return;
    kernels.rmsNorm(buffers.residual, plan.finalNorm, buffers.normed, rows, hidden, model.epsilon);
    const logitRows = step[HEADER.logitRows]!;
    if (logitRows === 0 || plan.head === null) return;
    matrices.input(buffers.normed, logitRows);
    matrices.multiply(plan.head, model.activations.head, buffers.logits);
  }

  const lastLayer = plan.layers.length - 1;
  return () => {
    meeting.enter();
    step.set(sharedStep.subarray(0, sharedStep[HEADER.used]));
    const sequences = step[HEADER.sequences]!;
    const tokens = step[HEADER.tokens]!;
    const wanted = step[HEADER.rows]!;
    fillRotation(sequences);
    embed(tokens);
    for (const [i, layer] of plan.layers.entries()) {
      const trimmed = i === lastLayer && wanted < tokens;
      const rows = trimmed ? wanted : tokens;
      if (heads > 0) remember(layer, tokens, sequences);
      if (trimmed) keepWantedRows(sequences);
      if (rows === 0) break;
      if (heads > 0) attend(layer, rows, sequences, trimmed);
      sum.addPartials(rows, start.attentionRanks);
      if (split.mlp.count > 0) mlp(layer, rows);
      sum.addPartials(rows, start.mlpRanks);
    }
    output(wanted);
    report(step, stepFloats, sequences);
    meeting.leave();
  };
}
