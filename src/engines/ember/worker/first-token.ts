import { HearthError } from '../../../core/index.ts';
import type { Ember } from '../../../ember/index.ts';

/** One token, or vector: shows that the model works. Gives the milliseconds that it took. */
export async function firstToken(ember: Ember, id: number): Promise<number> {
  const tokens = [id];
  const sequence = { pages: ember.pageGroups.map(() => new Uint32Array([0])), position: 0, tokens, rows: 1, temperature: 1, adjustments: [], candidates: 1 };
  const startedAt = performance.now();
  const [output] = await ember.step([{ ...sequence, output: ember.encoder ? 'hidden' : 'last' }]);
  const tookMs = performance.now() - startedAt;
  const works = ember.encoder
    ? (await ember.hidden(0, 1)).every(Number.isFinite)
    : output !== undefined && output !== null && output.ids.length > 0 && Number.isFinite(output.max) && Number.isFinite(output.sum);
  if (works) return tookMs;
  throw new HearthError('model_load_failed', 'The model gave no first token: its outputs are not finite numbers, so its weights are damaged.');
}
