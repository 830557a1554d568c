// Loaded with --import before a program: the n-th call that changes a file system ends this process, or fails with a code of the system.
//   FAIL_AT=3 FAIL_WITH=kill|ENOSPC|EDQUOT|EROFS|EMFILE FAIL_BELOW=/directory
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const at = Number(process.env.FAIL_AT ?? Number.NaN);
const how = process.env.FAIL_WITH ?? 'kill';
const below = process.env.FAIL_BELOW ?? '/';
let calls = 0;

function count(syscall, path) {
  calls += 1;
  if (calls !== at) return;
  if (how === 'kill') process.kill(process.pid, 'SIGKILL');
  throw Object.assign(new Error(`${how}: made by the test, ${syscall}`), { code: how, syscall, errno: -28, ...(path === undefined ? {} : { path }) });
}
process.on('exit', () => {
  if (process.env.FAIL_COUNT) fs.writeSync(2, `calls ${calls}\n`);
});

const inside = (path) => typeof path === 'string' && path.startsWith(below);
const { open, rename } = fs.promises;
fs.promises.open = async (path, ...rest) => {
  if (inside(path)) count('open', path);
  const file = await open(path, ...rest);
  if (!inside(path)) return file;
  for (const name of ['writeFile', 'write', 'sync', 'close']) {
    const own = file[name].bind(file);
    file[name] = async (...given) => {
      count(name === 'sync' ? 'fsync' : name === 'close' ? 'close' : 'write');
      return await own(...given);
    };
  }
  return file;
};
fs.promises.rename = async (from, to) => {
  if (inside(to)) count('rename', to);
  await rename(from, to);
};
syncBuiltinESMExports();
