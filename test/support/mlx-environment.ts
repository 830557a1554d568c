import { existsSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { MlxEnvironmentSource } from '../../src/engines/index.ts';

export const NO_ENVIRONMENT = 'HEARTH_TEST_MLX_ENVIRONMENT names no Python environment with mlx and mlx-lm';

/** The Python environment of the tests, which nobody manages; null: there is none. */
export function testEnvironment(directory = process.env['HEARTH_TEST_MLX_ENVIRONMENT']): MlxEnvironmentSource | null {
  if (directory === undefined || directory === '') return null;
  const python = join(resolve(directory), 'bin', 'python');
  if (!existsSync(python)) return null;
  const base = dirname(dirname(realpathSync(python)));
  return { current: () => ({ python, readPaths: [resolve(directory), base], version: 'of the tests' }), verify: async () => {} };
}
