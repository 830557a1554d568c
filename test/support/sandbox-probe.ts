/*
 * Runs under the flags of an engine's process and says over the channel what it could do. The first argument that is no option names a
 * directory outside its grants.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';

const outside = process.argv.slice(2).find((argument) => !argument.startsWith('--')) ?? '/nowhere';
const own = process.cwd();
const attempts: Record<string, () => unknown> = {
  'read its view': () => readFileSync(join(own, 'config.json')),
  'read outside': () => readFileSync(join(outside, 'secret')),
  'list outside': () => readdirSync(outside),
  'read the system': () => readFileSync('/etc/passwd'),
  'write its view': () => writeFileSync(join(own, 'new'), 'x'),
  'write outside': () => writeFileSync(join(outside, 'new'), 'x'),
  'start a process': () => {
    const { error } = spawnSync(process.execPath, ['--version']);
    if (error !== undefined) throw error;
  },
  'load an addon': () => process.dlopen({ exports: {} } as NodeJS.Module, join(outside, 'addon.node')),
};
const results = Object.fromEntries(
  Object.entries(attempts).map(([name, attempt]) => {
    try {
      attempt();
      return [name, 'done'];
    } catch (error) {
      return [name, (error as NodeJS.ErrnoException).code ?? String(error)];
    }
  }),
);
new Socket({ fd: 3 }).end(`${JSON.stringify({ results, env: Object.keys(process.env) })}\n`);
