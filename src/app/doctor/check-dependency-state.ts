import { readDependencyState } from '../dependency-state.ts';
import { type Finding, fail, ok, warn } from './finding.ts';

const DAY_MS = 86_400_000;
const OLD_DAYS = 14;
const FIRST =
  '`hearth deps check --online` asks the OSV service, to which names and versions of packages are sent. Without that: fetch the exports of its database, `hearth deps update FILE...`, then `hearth deps check`.';
const AGAIN = 'Fetch the exports of the OSV database, `hearth deps update FILE...`, then `hearth deps check`.';

/** What the last check of dependencies found, and how long ago. No check is no failure, since nothing is fetched unasked, but not known to be well either. */
export function checkDependencyState(home: string, nowMs: number): Finding {
  const state = readDependencyState(home);
  if (state === null) return warn('dependencies', 'Dependencies were never checked for known vulnerabilities.', FIRST);
  const { low, medium, high, critical } = state.counts;
  const found = `${low + medium + high + critical} known vulnerabilities`;
  const days = Math.floor((nowMs - Date.parse(state.checkedAt)) / DAY_MS);
  if (!state.ok) return fail('dependencies', `The last check of dependencies did not pass (${found}, ${days} days ago).`, '`hearth deps check` tells each.');
  return days <= OLD_DAYS
    ? ok('dependencies', `The last check of dependencies passed (${found}, ${days} days ago).`)
    : warn('dependencies', `The last check of dependencies was ${days} days ago.`, AGAIN);
}
