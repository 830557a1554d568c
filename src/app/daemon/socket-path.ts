import { createHash } from 'node:crypto';
import { join } from 'node:path';

/** The kernel takes about 104 bytes (macOS) or 108 (Linux) for the path of a socket. */
const MAX_PATH_BYTES = 100;

/** `<home>/run/hearthd.sock`, or a short place when the home's path is too long (docs/spec/stack.md §1). */
export function socketPath(home: string, env: Readonly<Record<string, string | undefined>>): string {
  const path = join(home, 'run', 'hearthd.sock');
  if (Buffer.byteLength(path) <= MAX_PATH_BYTES) return path;
  const mark = createHash('sha256').update(home).digest('hex').slice(0, 8);
  const runtime = env['XDG_RUNTIME_DIR'];
  const uid = process.getuid?.() ?? 0;
  return join(runtime !== undefined && runtime !== '' ? join(runtime, `hearth-${mark}`) : `/tmp/hearth-${uid}-${mark}`, 'hearthd.sock');
}
