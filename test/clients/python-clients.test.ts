import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { TINY_ENCODER } from '../support/tiny-encoder.ts';
import { startToolServer, TOOL_MODEL } from '../support/tool-model.ts';

const python = join(import.meta.dirname, '../../.env-clients/bin/python');
const missing = existsSync(python) ? '' : ' (skipped: the Python clients are not here; docs/guide/clients.md tells how to put them into .env-clients)';

test.skipIf(missing !== '')(`[serving V1] [serving V37] [store K117] the official Python clients work, without a warning${missing}`, async () => {
  await using server = await startToolServer({ gateway: { sampling: { temperature: 0 } } });
  const script = join(import.meta.dirname, 'python_clients.py');
  const { stdout } = await promisify(execFile)(python, [script, server.baseUrl, TOOL_MODEL, TINY_ENCODER]).catch(
    (error: { stdout: string; stderr: string }) => {
      throw new Error(`${error.stdout}\n${error.stderr}`);
    },
  );
  const { checks } = JSON.parse(stdout) as { checks: Record<string, string> };
  expect(Object.values(checks).every((result) => result === 'ok')).toBe(true);
  expect(Object.keys(checks).length).toBe(13);
});
