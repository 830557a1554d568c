import type { AuditReader } from '../api/index.ts';
import type { Clock } from '../core/index.ts';
import { actorOf, digestOf, followLog, logPlaces, readLog, reviewLog, type SecurityLog, tailLog, verifyLog } from '../security/index.ts';

/** What routes read of the security log: what was recorded so far is in the file before it is read. */
export function createAuditReader(home: string, log: SecurityLog, clock: Clock): AuditReader {
  const places = logPlaces(home);
  const { directory } = places;
  const review = async (sinceMs: number | null, signal: AbortSignal) => {
    await log.flush();
    return await reviewLog({ ...places, sinceMs, nowMs: clock.now(), signal });
  };
  return {
    async verify(signal) {
      await log.flush();
      return await verifyLog({ ...places, signal });
    },
    review,
    async sign(sinceMs, name, { caller, requestId, signal }) {
      const read = await review(sinceMs, signal);
      const digest = digestOf(read);
      const { since, until, lines, chain } = read;
      const details = { name, digest, since, until, lines, chainOk: chain.ok, head: chain.head };
      let seq: number | null = null;
      const stop = log.subscribe((line) => {
        if (line.event === 'review.sign' && line.details?.['digest'] === digest) seq = line.seq;
      });
      log.record({ event: 'review.sign', outcome: 'ok', actor: actorOf(caller), requestId, details });
      await log.flush();
      stop();
      return { review: read, digest, seq };
    },
    async tail(lines) {
      await log.flush();
      return lines === 0 ? [] : await tailLog(directory, lines);
    },
    async *lines(sinceMs, untilMs, signal) {
      await log.flush();
      yield* readLog({ directory, signal, ...(sinceMs === null ? {} : { sinceMs }), ...(untilMs === null ? {} : { untilMs }) });
    },
    follow: (afterSeq, signal) => followLog(directory, afterSeq, signal),
  };
}
