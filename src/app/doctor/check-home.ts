import { chmodSync, lstatSync, readdirSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { type Finding, fail, ok, warn } from './finding.ts';

/** Places whose files are tightened when they are made, or belong to a program that was installed: an environment has its own modes. */
const NOT_WALKED = new Set(['engines']);
const MOST = 20_000;
const NAMED = 3;

/** Owner and modes of the home and all below it. With `repair` loose modes are closed; each that was is told. Nothing is followed. */
export function checkHome(home: string, repair: boolean): { readonly findings: readonly Finding[]; readonly repaired: readonly string[] } {
  const top = lstatSync(home, { throwIfNoEntry: false });
  if (top === undefined) return { findings: [ok('home', `${home} is not there yet; it is made when something is written.`)], repaired: [] };
  if (!top.isDirectory())
    return { findings: [fail('home', `${home} is a link or no directory.`, 'Set HEARTH_HOME to a directory of your own.')], repaired: [] };
  const uid = process.geteuid?.() ?? top.uid;
  if (top.uid !== uid)
    return { findings: [fail('home', `${home} belongs to another user (uid ${top.uid}).`, 'Set HEARTH_HOME to a directory of your own.')], repaired: [] };

  const loose: string[] = [];
  const foreign: string[] = [];
  const special: string[] = [];
  const repaired: string[] = [];
  const look = (path: string, facts: Stats): void => {
    if (facts.uid !== uid) foreign.push(path);
    else if (facts.isSymbolicLink()) return;
    else if ((facts.mode & 0o077) !== 0) {
      if (repair) {
        chmodSync(path, facts.isDirectory() ? 0o700 : facts.mode & 0o600);
        repaired.push(path);
      } else loose.push(path);
    } else if (facts.isFIFO() || facts.isCharacterDevice() || facts.isBlockDevice()) special.push(path);
  };
  look(home, top);
  let seen = 0;
  for (const waiting = readdirSync(home).map((name) => join(home, name)); waiting.length > 0 && seen < MOST; seen += 1) {
    const path = waiting.pop()!;
    const facts = lstatSync(path, { throwIfNoEntry: false });
    if (facts === undefined) continue;
    look(path, facts);
    const directory = facts.isDirectory() && !NOT_WALKED.has(path.slice(home.length + 1));
    if (directory && facts.uid === uid) waiting.push(...readdirSync(path).map((name) => join(path, name)));
  }
  return {
    findings: [
      ok('home', `${home} is yours.`),
      loose.length === 0
        ? ok('home-modes', repaired.length === 0 ? 'No other user can read or write in it.' : `Closed ${named(repaired)} to other users.`)
        : warn('home-modes', `Other users can open ${named(loose)}.`, '`hearth doctor --fix` closes them.'),
      ...(foreign.length === 0 ? [] : [fail('home-owner', `${named(foreign)} belong to another user.`, 'Move them away, or give them back with chown.')]),
      ...(special.length === 0 ? [] : [fail('home-files', `${named(special)} are no files that hearth makes.`, 'Remove them.')]),
    ],
    repaired,
  };
}

const named = (paths: readonly string[]): string =>
  paths.length <= NAMED ? paths.join(', ') : `${paths.slice(0, NAMED).join(', ')} and ${paths.length - NAMED} more`;
