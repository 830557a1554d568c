import type { Kernels } from '../kernel-interface.ts';
import type { LayerPlacement } from '../load/rank-plan.ts';
import { createMatrixRunner } from './matrix-runner.ts';
import type { RankStart } from './rank-start.ts';
import { createRankSum } from './rank-sum.ts';
import { HEADER, RECORD, RESULT } from './step-words.ts';

/** Evaluates the step that lies in the exchange: the whole forward pass of one rank. */
export function createForward(start: RankStart, kernels: Kernels, memory: SharedArrayBuffer): () => void {
  const { plan, model, exchange, batchTokens } = start;
  const { buffers, split } = plan;
  const { hidden, headDim } = model;
  const heads = split.heads.count;
  const kvHeads = split.kvHeads.count;
  const words = new Int32Array(memory);
  const floats = new Float32Array(memory);
  const sharedStep = new Int32Array(exchange.step);
  const step = new Int32Array(memory, buffers.step, sharedStep.length);
  const stepFloats = new Float32Array(memory, buffers.step, sharedStep.length);
  const results = new Int32Array(exchange.results, plan.rank * batchTokens * RESULT.words * 4, batchTokens * RESULT.words);
  const resultFloats = new Float32Array(results.buffer, results.byteOffset, results.length);
  const matrices = createMatrixRunner(kernels, buffers.prepared);
  const sum = createRankSum(start, kernels, floats);
  const { inverseFrequencies, magnitude, traditional } = model.rope;
  const pairs = inverseFrequencies.length;
  const rotaryDim = pairs * 2;
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

  /** The rank that holds a token's row of the embedding shares it. */
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

  function attention(layer: LayerPlacement, tokens: number, sequences: number): void {
    kernels.rmsNorm(buffers.residual, layer.attentionNorm, buffers.normed, tokens, hidden, model.epsilon);
    matrices.input(buffers.normed, tokens);
    matrices.multiply(layer.query!, model.activations.qkv, buffers.query);
    matrices.multiply(layer.key!, model.activations.qkv, buffers.key);
    matrices.multiply(layer.value!, model.activations.qkv, buffers.value);
    if (layer.queryNorm !== 0) kernels.rmsNorm(buffers.query, layer.queryNorm, buffers.query, tokens * heads, headDim, model.epsilon);
    if (layer.keyNorm !== 0) kernels.rmsNorm(buffers.key, layer.keyNorm, buffers.key, tokens * kvHeads, headDim, model.epsilon);
    const queryStride = heads * headDim;
    const keyStride = kvHeads * headDim;
    const neighbours = traditional ? 1 : 0;
    kernels.rope(buffers.query, tokens, heads, headDim, rotaryDim, queryStride, buffers.cosines, buffers.sines, neighbours);
    kernels.rope(buffers.key, tokens, kvHeads, headDim, rotaryDim, keyStride, buffers.cosines, buffers.sines, neighbours);
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      const position = step[record + RECORD.position]!;
      const count = step[record + RECORD.tokens]!;
      const queries = step[record + RECORD.firstToken]! * queryStride * 4;
      const keys = step[record + RECORD.firstToken]! * keyStride * 4;
      const pages = buffers.step + step[record + RECORD.pages]! * 4;
      kernels.storeKv(buffers.key + keys, buffers.value + keys, keyStride, layer.kvBase, plan.pageStride, pages, position, count, kvHeads, headDim);
      kernels.attend(
        buffers.query + queries,
        queryStride,
        buffers.attention + queries,
        queryStride,
        layer.kvBase,
        plan.pageStride,
        pages,
        position,
        count,
        heads,
        buffers.headToKv,
        kvHeads,
        headDim,
        model.attentionScale,
        layer.window,
        0,
        buffers.attendScratch,
      );
    }
    matrices.input(buffers.attention, tokens);
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

  /** Logits of the wanted rows, over the rank's part of the vocabulary. */
  function output(rows: number, sequences: number): void {
    if (rows === 0) return;
    for (let s = 0, row = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      const wanted = step[record + RECORD.rows]!;
      const from = buffers.residual / 4 + (step[record + RECORD.firstToken]! + step[record + RECORD.tokens]! - wanted) * hidden;
      floats.copyWithin(buffers.normed / 4 + row * hidden, from, from + wanted * hidden);
      row += wanted;
    }
    kernels.rmsNorm(buffers.normed, plan.finalNorm, buffers.normed, rows, hidden, model.epsilon);
    if (plan.head === null) return;
    matrices.input(buffers.normed, rows);
    matrices.multiply(plan.head, model.activations.head, buffers.logits);
  }

  /** Of each sequence's last row: penalties, the parts of its softmax, and its largest logits. */
  function report(sequences: number): void {
    const { first, count } = split.vocabulary;
    for (let s = 0; s < sequences; s++) {
      const record = HEADER.words + s * RECORD.words;
      const rows = step[record + RECORD.rows]!;
      if (rows === 0) continue;
      const result = s * RESULT.words;
      resultFloats[result + RESULT.max] = Number.NEGATIVE_INFINITY;
      resultFloats[result + RESULT.sum] = 0;
      results[result + RESULT.count] = 0;
      if (count === 0) continue;
      let logits = buffers.logits + (step[record + RECORD.firstRow]! + rows - 1) * count * 4;
      const adjustments = step[record + RECORD.adjustmentCount]!;
      if (adjustments > 0) {
        floats.copyWithin(buffers.adjusted / 4, logits / 4, logits / 4 + count);
        logits = buffers.adjusted;
        kernels.adjustLogits(logits, count, first, buffers.step + step[record + RECORD.adjustments]! * 4, adjustments);
      }
      kernels.maxAndSum(logits, count, stepFloats[record + RECORD.temperature]!, buffers.maxAndSum);
      resultFloats[result + RESULT.max] = floats[buffers.maxAndSum / 4]!;
      resultFloats[result + RESULT.sum] = floats[buffers.maxAndSum / 4 + 1]!;
      const wanted = step[record + RECORD.candidates]!;
      if (wanted === 0) continue;
      const found = kernels.topN(logits, count, first, wanted, buffers.candidateIds, buffers.candidateValues);
      results[result + RESULT.count] = found;
      for (let i = 0; i < found; i++) {
        results[result + RESULT.ids + i] = words[buffers.candidateIds / 4 + i]!;
        resultFloats[result + RESULT.values + i] = floats[buffers.candidateValues / 4 + i]!;
      }
    }
  }

  return () => {
    step.set(sharedStep.subarray(0, sharedStep[HEADER.used]));
    const sequences = step[HEADER.sequences]!;
    const tokens = step[HEADER.tokens]!;
    fillRotation(sequences);
    embed(tokens);
    for (const layer of plan.layers) {
      if (heads > 0) attention(layer, tokens, sequences);
      sum.addPartials(tokens, start.attentionRanks);
      if (split.mlp.count > 0) mlp(layer, tokens);
      sum.addPartials(tokens, start.mlpRanks);
    }
    output(step[HEADER.rows]!, sequences);
    report(sequences);
  };
}
