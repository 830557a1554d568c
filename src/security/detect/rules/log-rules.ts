import type { Finding, Rule } from '../signal.ts';
import { createLatch } from '../windows.ts';

const JUMP_MS = 300_000;
const HOUR_MS = 3_600_000;

/** R11: the log and the clock; R12: addresses that are open to others, and connections to where none may lead. */
export function createLogRules({ heartbeatMs }: { readonly heartbeatMs: number }): Rule {
  let lineAt: number | null = null;
  let clock: { nowMs: number; uptimeMs: number } | null = null;
  const silent = createLatch(HOUR_MS);
  const broken = createLatch(24 * HOUR_MS);

  function tick(nowMs: number, monoMs: number, uptimeMs: number): Finding[] {
    const found: Finding[] = [];
    // The time since the start of the machine goes on while it sleeps: what is left is that somebody set the clock.
    const jumpMs = clock === null ? 0 : nowMs - clock.nowMs - (uptimeMs - clock.uptimeMs);
    clock = { nowMs, uptimeMs };
    if (Math.abs(jumpMs) > JUMP_MS)
      found.push({
        rule: 'R11',
        subject: 'clock',
        message: `The clock of this machine was set ${jumpMs > 0 ? 'forward' : 'back'} by ${Math.round(Math.abs(jumpMs) / 60_000)} min.`,
        details: { jumpMs: Math.round(jumpMs) },
      });
    const quietMs = lineAt === null ? 0 : monoMs - lineAt;
    if (silent(quietMs > 2 * heartbeatMs, monoMs))
      found.push({ rule: 'R11', subject: 'silence', message: `Nothing was written into the security log for ${Math.round(quietMs / 60_000)} min.` });
    return found;
  }

  return {
    take(signal, { nowMs, monoMs }) {
      if (signal.kind === 'tick') {
        lineAt ??= monoMs;
        return tick(nowMs, monoMs, signal.uptimeMs);
      }
      if (signal.kind === 'verified') {
        if (!broken(!signal.ok, monoMs)) return [];
        return [
          { rule: 'R11', subject: 'chain', message: `The security log is not as it was written (${signal.fault ?? 'unknown'}): see \`hearth audit verify\`.` },
        ];
      }
      if (signal.kind !== 'line') return [];
      lineAt = monoMs;
      const { event, severity, reason, details, actor } = signal.line;
      // Part of a line after a crash is told by the log itself, and nothing is missing.
      if (event === 'audit.gap' && reason !== 'torn')
        return [
          { rule: 'R11', subject: `gap ${reason ?? ''}`.trim(), message: 'Security events are missing: the log could not be written.', details: { reason } },
        ];
      if (event === 'listener.open' && severity === 'critical') {
        const addresses = Array.isArray(details?.['addresses']) ? details['addresses'].map(String) : [];
        return [{ rule: 'R12', subject: addresses.join(' '), message: `Other machines reach this server: ${addresses.join(', ')}.`, details: { addresses } }];
      }
      if (event === 'egress.blocked') {
        const host = String(details?.['host'] ?? 'unknown');
        const by = actor?.key === undefined ? '' : `, for ${actor.key}`;
        return [
          {
            rule: 'R12',
            subject: host,
            message: `A connection to ${host} was refused: it leads to this machine or into a private network${by}.`,
            details: { host },
          },
        ];
      }
      return [];
    },
  };
}
