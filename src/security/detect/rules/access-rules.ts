import type { Finding, Rule } from '../signal.ts';
import { createLatch, createSlidingNames, createSlidingSum, createSubjects } from '../windows.ts';

const MINUTE_MS = 60_000;
const FIVE_MINUTES_MS = 300_000;
const FAILURES_OF_ADDRESS = 5;
const FAILURES_OF_ALL = 20;
const REQUESTS = 20;
const SHARE = 0.5;
const PATHS = 15;

/** R3: keys that are guessed; R4: requests that mostly fail, and paths that are tried one after another. */
export function createAccessRules(): Rule {
  const guesses = createSubjects(() => ({ count: createSlidingSum(MINUTE_MS), many: createLatch(FIVE_MINUTES_MS) }));
  const probes = createSubjects(() => ({
    all: createSlidingSum(FIVE_MINUTES_MS),
    refused: createSlidingSum(FIVE_MINUTES_MS),
    paths: createSlidingNames(FIVE_MINUTES_MS, 64),
    mostly: createLatch(FIVE_MINUTES_MS),
    searching: createLatch(FIVE_MINUTES_MS),
  }));

  function guessed(subject: string, limit: number, atMs: number): Finding[] {
    const of = guesses(subject);
    of.count.add(atMs);
    const times = of.count.sum(atMs);
    if (!of.many(times >= limit, atMs)) return [];
    return [{ rule: 'R3', subject, message: `${times} wrong API keys in a minute, ${subject}.`, details: { times } }];
  }

  return {
    take(signal, { monoMs }) {
      if (signal.kind === 'line' && signal.line.event === 'auth.fail')
        return [
          ...guessed(`from ${signal.line.actor?.ip ?? 'unknown'}`, FAILURES_OF_ADDRESS, monoMs),
          ...guessed('from all addresses together', FAILURES_OF_ALL, monoMs),
        ];
      if (signal.kind === 'line' && signal.line.event === 'auth.recovered') {
        const { ip = 'unknown', key = 'unknown' } = signal.line.actor ?? {};
        const message = `After wrong API keys, ${ip} sent a right one: the key ${key}. If that was not its owner, revoke it with \`hearth keys api revoke ${key}\`.`;
        return [{ rule: 'R3', subject: `success from ${ip}`, message, details: { ip, key } }];
      }
      // What this user's own commands do is no attack.
      if (signal.kind !== 'request' || signal.event.remoteAddress === null) return [];
      const { status, path, remoteAddress } = signal.event;
      const of = probes(remoteAddress);
      const found: Finding[] = [];
      of.all.add(monoMs);
      if (status >= 400 && status < 500) of.refused.add(monoMs);
      const [all, refused] = [of.all.sum(monoMs), of.refused.sum(monoMs)];
      if (of.mostly(all >= REQUESTS && refused / all > SHARE, monoMs))
        found.push({
          rule: 'R4',
          subject: `refusals of ${remoteAddress}`,
          message: `${refused} of ${all} requests of ${remoteAddress} in five minutes were refused.`,
          details: { all, refused },
        });
      if (status !== 404) return found;
      const paths = of.paths(path, monoMs);
      if (of.searching(paths >= PATHS, monoMs))
        found.push({
          rule: 'R4',
          subject: `paths of ${remoteAddress}`,
          message: `${remoteAddress} asked for ${paths} paths in five minutes that are not there.`,
          details: { paths },
        });
      return found;
    },
  };
}
