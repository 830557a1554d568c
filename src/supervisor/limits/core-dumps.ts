import { endsWell, findProgram } from '../cage/choose-cage.ts';

let asked: Promise<boolean> | undefined;

/**
 * A crash of this very process leaves no image of its memory from now on: asked before a private key is in it (docs/spec/security.md §3). Node has no
 * call for its own limits, so prlimit of util-linux does it; false where that is missing, and the system's own setting holds. Children: kernel-limits.ts.
 */
export function forbidCoreDumps(): Promise<boolean> {
  asked ??= lower();
  return asked;
}

async function lower(): Promise<boolean> {
  const prlimit = process.platform === 'linux' ? findProgram('prlimit') : null;
  return prlimit !== null && (await endsWell([prlimit, '--pid', String(process.pid), '--core=0:0']));
}
