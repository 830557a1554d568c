import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type KvType, modelGraph } from '../../../ember/index.ts';
import { DEFAULTS } from './defaults.ts';

/** What holds where the options name nothing else, by the kind of model. */
export interface ShapeDefaults {
  readonly batchTokens: number;
  readonly kvType: KvType;
}

/**
 * An encoder reads an input whole, and has no answers that would wait for it; its cells live for one step, so that they can be exact. Throws
 * where `modelGraph` does.
 */
export function shapeDefaults(config: Readonly<Record<string, unknown>>): ShapeDefaults {
  const { head, contextTokens } = modelGraph(config);
  return head === null ? { batchTokens: Math.min(DEFAULTS.encoderTokens, contextTokens), kvType: 'f32' } : DEFAULTS;
}

/** Of the model in a directory; those of a decoder where it has no config.json. */
export async function readShapeDefaults(directory: string): Promise<ShapeDefaults> {
  const config: unknown = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8').catch(() => 'null'));
  return typeof config === 'object' && config !== null ? shapeDefaults(config as Record<string, unknown>) : DEFAULTS;
}
