import { HearthError } from '../core/index.ts';
import type { Hearth, HearthOptions } from './hearth-options.ts';

export async function createHearth(_options: HearthOptions): Promise<Hearth> {
  throw new HearthError('not_implemented', 'The parts are not wired together yet.');
}
