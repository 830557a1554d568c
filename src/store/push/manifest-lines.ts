import { formatSize } from '../../core/index.ts';
import type { PushPlan } from './plan.ts';
import type { PushRun } from './push-run.ts';

const SHOWN = 20;

/** What is going to be changed, for people, before anything is sent: the sum, then a line for each file. */
export function manifestLines(plan: PushPlan, run: Pick<PushRun, 'repository' | 'branch' | 'parameters'>): string[] {
  const sent = [...plan.added, ...plan.modified];
  const bytes = sent.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const deleted = plan.deleted.length === 0 ? '' : `, and deletes ${plan.deleted.length}`;
  const lines = [
    ...plan.added.map(({ path, sizeBytes }) => `  + ${path} (${formatSize(sizeBytes)})`),
    ...plan.modified.map(({ path, sizeBytes }) => `  ~ ${path} (${formatSize(sizeBytes)})`),
    ...plan.deleted.map((path) => `  - ${path}`),
  ];
  const shown = run.parameters.verbose === true ? lines : lines.slice(0, SHOWN);
  const more = lines.length - shown.length;
  return [
    `Sends ${sent.length} ${sent.length === 1 ? 'file' : 'files'} (${formatSize(bytes)}) to ${run.repository} (${run.branch})${deleted}:`,
    ...shown,
    ...(more > 0 ? [`  and ${more} more; --verbose lists all`] : []),
  ];
}
