// Fidelity of the activation paths: the distribution after each of 2,000 tokens of a fixed text, compared with mlx-lm in float32 on the same
// weights, and llama.cpp on its own file beside them (docs/spec/engines.md E43).
//   node bench/fidelity.ts [--tokens 2000] [--write]      --write also records what the test of E43 compares with
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type ActivationPath, loadEmber, PAGE_TOKENS } from '../src/ember/index.ts';
import { loadTokenizer } from '../src/formats/index.ts';
import { argmax, divergence, logSoftmax } from './distributions.ts';
import { benchmarkModels } from './models.ts';
import { ensurePeers, startPeer } from './peers/peer-process.ts';

const { values } = parseArgs({
  options: { tokens: { type: 'string', default: '2000' }, write: { type: 'boolean', default: false }, 'no-llama': { type: 'boolean', default: false } },
});
/** Entries of llama.cpp's answer; the rest of its mass is one more outcome, which can only make its divergence look smaller. */
const LLAMA_TOP = 2000;

interface Score {
  readonly name: string;
  readonly meanKl: number;
  readonly sameTop: number;
}

/** The divergence over the outcomes that `listed` names and one for all the rest. */
function divergenceOver(reference: Float64Array, listed: readonly (readonly [number, number])[]): number {
  let kl = 0;
  let restReference = 1;
  let rest = 1;
  for (const [id, logprob] of listed) {
    const p = Math.exp(reference[id]!);
    kl += p * (reference[id]! - logprob);
    restReference -= p;
    rest -= Math.exp(logprob);
  }
  return restReference > 1e-12 ? kl + restReference * Math.log(restReference / Math.max(rest, 1e-12)) : kl;
}

ensurePeers();
const [model] = await benchmarkModels('smollm2');
const tokenizer = await loadTokenizer(model!.directory);
const ids = tokenizer.encode(readFileSync(join(import.meta.dirname, 'fidelity-text.txt'), 'utf8'), { special: false }).slice(0, Number(values.tokens));
const [fullStop] = tokenizer.encode('.', { special: false });
const scores: Score[] = [];
let reference: Float64Array[];
{
  const file = join(model!.directory, `../fidelity-${createHash('sha256').update(JSON.stringify(ids)).digest('hex').slice(0, 16)}.f32`);
  // A naive float32 matrix product takes minutes, so the reference is kept beside the models.
  if (!existsSync(file)) {
    using mlx = await startPeer('mlx', [model!.directory]);
    await mlx.ask({ logits: ids, file });
  }
  const rows = ids.length;
  const bytes = readFileSync(file);
  const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const vocabulary = all.length / rows;
  reference = Array.from({ length: rows }, (_, i) => logSoftmax(all.subarray(i * vocabulary, (i + 1) * vocabulary)));
}
const tops = reference.map(argmax);
const add = (name: string, kl: readonly number[], same: number) => {
  const score = { name, meanKl: kl.reduce((a, b) => a + b, 0) / kl.length, sameTop: same / kl.length };
  scores.push(score);
  console.error(`${name}: mean KL ${score.meanKl.toExponential(2)}, same top token ${(100 * score.sameTop).toFixed(2)} %`);
};
for (const activations of ['f32', 'int16', 'mixed', 'int8'] as const satisfies readonly ActivationPath[]) {
  await using ember = await loadEmber({ directory: model!.directory, ranks: 2, activations, contextTokens: ids.length + PAGE_TOKENS, batchTokens: 128 });
  const pages = ember.pageGroups.map(({ pageCount }) => Uint32Array.from({ length: pageCount }, (_, i) => i));
  const kl: number[] = [];
  let same = 0;
  for (let at = 0; at < ids.length; at += 128) {
    const tokens = ids.slice(at, at + 128);
    await ember.step([{ pages, position: at, tokens, output: 'all', temperature: 1, adjustments: [], candidates: 1 }]);
    for (let i = 0; i < tokens.length; i++) {
      const row = logSoftmax((await ember.logits(i)).subarray(0, reference[at + i]!.length));
      kl.push(divergence(reference[at + i]!, row));
      if (argmax(row) === tops[at + i]) same++;
    }
  }
  add(`ember ${activations}`, kl, same);
}
if (!values['no-llama']) {
  for (const [name, file] of [
    ['llama.cpp Q4_1 (the same weights)', model!.q41],
    ['llama.cpp Q4_0 (quantised again)', model!.q40],
  ] as const) {
    using llama = await startPeer('llama', [file, '2', String(ids.length + 64), '1']);
    const kl: number[] = [];
    let same = 0;
    for (let i = 0; i < ids.length; i++) {
      const { logprobs } = (await llama.ask({ next: ids.slice(0, i + 1), top: LLAMA_TOP, force: fullStop })) as { logprobs: [number, number][] };
      kl.push(divergenceOver(reference[i]!, logprobs));
      if (logprobs[0]![0] === tops[i]) same++;
    }
    add(name, kl, same);
  }
}
const text = [
  `SmolLM2-135M-Instruct, ${ids.length} tokens of bench/fidelity-text.txt, against mlx-lm in float32 on the same numbers. ${new Date().toISOString().slice(0, 10)}.`,
  '',
  '| Side | mean KL (nats) | same top token |',
  '|---|---|---|',
  ...scores.map((s) => `| ${s.name} | ${s.meanKl.toPrecision(2)} | ${(100 * s.sameTop).toFixed(2)} % |`),
  '',
].join('\n');
console.log(text);
if (values.write) {
  // Of every 25th position the likeliest 24 tokens, and llama.cpp's score: small enough to lie beside the tests.
  const llama = scores.find(({ name }) => name.includes('Q4_1'))!;
  const positions = reference.flatMap((row, at) => {
    if (at % 25 !== 24) return [];
    const ids = Array.from(row.keys())
      .sort((a, b) => row[b]! - row[a]!)
      .slice(0, 24);
    return [{ at, ids, logProbabilities: ids.map((id) => Number(row[id]!.toFixed(5))) }];
  });
  const record = { source: 'mlx 0.32.4, mlx-lm 0.32.2, CPU, float32; xllamacpp 2026.10.11549', tokens: ids.length, llama, positions };
  writeFileSync(join(import.meta.dirname, '../test/reference/smollm2-fidelity.json'), `${JSON.stringify(record)}\n`);
  const file = join(import.meta.dirname, '../docs/benchmarks.md');
  const old = readFileSync(file, 'utf8');
  const begin = '<!-- fidelity: begin -->';
  const end = '<!-- fidelity: end -->';
  writeFileSync(file, `${old.slice(0, old.indexOf(begin) + begin.length)}\n${text}\n${old.slice(old.indexOf(end))}`);
}
