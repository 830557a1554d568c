import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** The kernels are built by `prepare`; a checkout whose set-up was skipped builds them here. */
export default function setup(): void {
  if (existsSync('tools/build-kernels.mjs')) execFileSync(process.execPath, ['tools/build-kernels.mjs'], { stdio: 'inherit' });
}
