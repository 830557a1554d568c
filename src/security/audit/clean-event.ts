import { redactFields, type SecurityEvent } from '../../core/index.ts';

/** Of `details`, as JSON. */
export const DETAILS_BYTES = 4096;
const TEXT_CHARACTERS = 512;
const DEPTH = 6;

/** The event as the log may keep it: plain JSON, no secrets, no text that is too long, details of at most 4 KiB. */
export function cleanEvent(event: SecurityEvent): SecurityEvent {
  const { details, ...rest } = event;
  const clean = redactFields(plain(rest, DEPTH)) as SecurityEvent;
  if (details === undefined) return clean;
  return { ...clean, details: fitted(redactFields(plain(details, DEPTH)) as Record<string, unknown>) };
}

/** What JSON can say of it: errors by their message, what has no form is left out. */
function plain(value: unknown, depth: number): unknown {
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value === 'string') return cut(value.toWellFormed());
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Error) return cut(value.message.toWellFormed());
  if (typeof value !== 'object') return undefined;
  if (depth === 0) return '…';
  if (Array.isArray(value)) return value.slice(0, 100).map((each) => plain(each, depth - 1) ?? null);
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, each]) => {
      const kept = plain(each, depth - 1);
      return kept === undefined ? [] : [[cut(name.toWellFormed()), kept]];
    }),
  );
}

const cut = (text: string): string => (text.length <= TEXT_CHARACTERS ? text : `${text.slice(0, TEXT_CHARACTERS).toWellFormed()}…`);

/** Whole members as long as they fit; `cut` names how many did not. */
function fitted(details: Record<string, unknown>): Record<string, unknown> {
  const sizeOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
  if (sizeOf(details) <= DETAILS_BYTES) return details;
  const kept: Record<string, unknown> = {};
  let left = DETAILS_BYTES - sizeOf({ cut: 1_000_000 });
  let missing = 0;
  for (const [name, value] of Object.entries(details)) {
    const size = sizeOf({ [name]: value });
    if (size > left) missing += 1;
    else {
      kept[name] = value;
      left -= size;
    }
  }
  return { ...kept, cut: missing };
}
