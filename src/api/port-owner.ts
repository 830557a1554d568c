import { execFile } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';

export interface PortOwner {
  readonly pid: number;
  readonly name: string;
}

/** The process that listens on a TCP port: /proc on Linux, lsof on macOS; null where neither tells (another user's process). */
export async function findPortOwner(port: number): Promise<PortOwner | null> {
  return process.platform === 'darwin' ? await fromLsof(port) : await fromProc(port);
}

async function fromProc(port: number): Promise<PortOwner | null> {
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) for (const inode of await listeningInodes(table, port)) inodes.add(inode);
  if (inodes.size === 0) return null;
  for (const pid of await entries('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const descriptor of await entries(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      return { pid: Number(pid), name: await programName(pid) };
    }
  }
  return null;
}

/**
 * `node hearth.js`: program and first word without their folders, since a script's name tells more than its interpreter's. Later words
 * may hold secrets, and so may an option: it is left out.
 */
async function programName(pid: string): Promise<string> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const [program = '', first = ''] = line.split('\0');
  const words = [basename(program), /^[\w./+-]+$/.test(first) && !first.startsWith('-') ? basename(first) : ''].filter((word) => word !== '');
  if (words.length > 0) return words.join(' ');
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim() || 'unknown process';
}

/** Column 2 is the local address as hex `address:port`, column 4 the state (0A = LISTEN), column 10 the inode (proc(5)). */
async function listeningInodes(table: string, port: number): Promise<string[]> {
  const text = await readFile(table, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const local = Number.parseInt(fields[1]?.split(':')[1] ?? '', 16);
    return local === port && fields[3] === '0A' && fields[9] !== undefined ? [fields[9]] : [];
  });
}

const entries = (path: string): Promise<string[]> => readdir(path).catch(() => []);

async function fromLsof(port: number): Promise<PortOwner | null> {
  const run = promisify(execFile)('/usr/sbin/lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpc'], { timeout: 5000 });
  const { stdout } = await run.catch(() => ({ stdout: '' }));
  const pid = /^p(\d+)$/m.exec(stdout)?.[1];
  const name = /^c(.+)$/m.exec(stdout)?.[1];
  return pid === undefined ? null : { pid: Number(pid), name: name ?? 'unknown process' };
}
