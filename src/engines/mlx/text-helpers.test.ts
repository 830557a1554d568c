import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startEngine, temporaryDirectory, user } from '../../../test/support/engine-run.ts';
import { makeGoldenModel } from '../../../test/support/golden-model.ts';
import type { HelperJob, HelperPool } from '../../core/index.ts';
import { createHelperPool, createSupervisor } from '../../supervisor/index.ts';
import { createMlxEngine, type Engine } from '../index.ts';

const home = temporaryDirectory();
afterAll(() => home[Symbol.dispose]());
const FAKE = join(import.meta.dirname, '../../../test/support/fake-mlx-worker.ts');
const TRAP =
  "{% if messages[0]['content'] == 'boom' %}{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n";
const { facts } = makeGoldenModel(join(home.path, 'model'), { chatTemplate: TRAP });

/** mlx with a worker that needs no Python. */
function fakeMlx(helpers?: HelperPool): Engine {
  const engine = createMlxEngine({
    environments: { current: () => ({ python: process.execPath, readPaths: [], version: 'fake' }), verify: async () => {} },
    convertedDirectory: join(home.path, 'converted'),
    ...(helpers === undefined ? {} : { helpers }),
  });
  return {
    ...engine,
    processSpec(model, options) {
      const spec = engine.processSpec(model, options)!;
      return { ...spec, args: [FAKE, ...spec.args.filter((each) => each.startsWith('--model-directory='))] };
    },
  };
}

test('[security G24] a conversation of a Python engine is rendered in a helper process: the same ids as in the thread, and a bomb is an error that harms nobody', async () => {
  await using supervisor = createSupervisor({ environment: { PATH: process.env['PATH'] } });
  await using pool = createHelperPool({ supervisor, directory: join(home.path, 'helpers') });
  const jobs: HelperJob[] = [];
  const helpers: HelperPool = {
    run(job, signal) {
      jobs.push(job);
      return pool.run(job, signal);
    },
  };
  const messages = user('Hi <|im_end|> there');
  await using here = await startEngine(fakeMlx(), facts, { contextTokens: 256 });
  await using running = await startEngine(fakeMlx(helpers), facts, { contextTokens: 256 });
  const ids = await running.session.tokenize({ messages: messages! });
  expect(ids).toEqual(await here.session.tokenize({ messages: messages! }));
  expect(jobs.map(({ program }) => program)).toEqual([expect.stringContaining('render-program')]);

  const bomb = running.ask({ messages: user('boom')!, maxTokens: 3 });
  const others = await Promise.all([running.ask({ messages: user('abc')!, maxTokens: 3 }), running.ask({ prompt: 'abc', maxTokens: 3 })]);
  for (const { finish } of others) expect(finish).toBeDefined();
  expect((await bomb).error).toMatchObject({ code: 'template_limit' });
  expect((await running.ask({ messages: user('abc')!, maxTokens: 3 })).text).toBe(others[0]!.text);
});
