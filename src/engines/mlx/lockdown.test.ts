import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { never, temporaryDirectory } from '../../../test/support/engine-run.ts';
import { runCommand } from '../../supervisor/index.ts';
import { findInterpreter } from './environment/interpreter.ts';
import { WORKER_PROGRAM } from './mlx-engine.ts';

const search = { wanted: null, searchPath: (process.env['PATH'] ?? '').split(':'), versions: ['3.11', '3.12', '3.13'], run: runCommand, signal: never };
const python = await findInterpreter(search).catch(() => null);
const suite = python === null ? describe.skip : describe;
const why = python === null ? ' (skipped: there is no Python 3.11 to 3.13 here)' : '';
const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());

/** What each try ends with: `done`, or the name of its error. The calls of `libc` pass the audit hook by. */
const PROGRAM = `
import ctypes, json, os, socket, subprocess, sys
sys.path.insert(0, sys.argv[1])
from hearth_worker import lockdown
model, secret, port = sys.argv[2], sys.argv[3], int(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
layers = lockdown.apply([model], None)
def attempt(work):
    try:
        work()
        return 'done'
    except BaseException as error:
        return type(error).__name__
def native(value):
    if value < 0: raise OSError(ctypes.get_errno())
print(json.dumps({'layers': layers, 'tries': {
    'read the model': attempt(lambda: open(os.path.join(model, 'config.json')).read()),
    'read elsewhere': attempt(lambda: open(secret).read()),
    'write beside the model': attempt(lambda: open(os.path.join(model, 'x'), 'w')),
    'start a program': attempt(lambda: subprocess.run(['/bin/true'])),
    'connect': attempt(lambda: socket.create_connection(('127.0.0.1', port), 2)),
    'native read elsewhere': attempt(lambda: native(libc.open(secret.encode(), 0))),
    'native write': attempt(lambda: native(libc.open(os.path.join(model, 'y').encode(), 0o101, 0o600))),
    'native socket': attempt(lambda: native(libc.socket(2, 1, 0))),
    'native program': attempt(lambda: native(libc.execv(b'/bin/true', (ctypes.c_char_p * 2)(b'/bin/true', None)))),
}}))`;

suite(`what the worker of mlx gives up${why}`, () => {
  test('[engines E37] network, other programs, writing and foreign files, also to native code where the system allows', async () => {
    const model = join(home.path, 'view');
    mkdirSync(model);
    writeFileSync(join(model, 'config.json'), '{}');
    const secret = join(home.path, 'secret');
    writeFileSync(secret, 'secret');
    await using server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const out = execFileSync(python!.path, ['-I', '-B', '-c', PROGRAM, dirname(WORKER_PROGRAM), model, secret, String(port)], { encoding: 'utf8', env: {} });
    const { layers, tries } = JSON.parse(out) as { layers: string[]; tries: Record<string, string> };
    expect(layers).toContain('audit');
    expect(tries['read the model']).toBe('done');
    for (const each of ['write beside the model', 'start a program', 'connect']) expect(tries[each]).toBe('PermissionError');
    if (layers.includes('landlock')) for (const each of ['read elsewhere', 'native read elsewhere', 'native write']) expect(tries[each]).not.toBe('done');
    if (layers.includes('seccomp')) for (const each of ['native socket', 'native program']) expect(tries[each]).not.toBe('done');
    if (process.platform === 'linux' && process.arch === 'x64') expect(layers).toContain('seccomp');
  }, 60_000);
});
