import { spawn } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runDataSchema } from '../../src/contract/index.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { type InProcessFacts, runInProcess } from '../support/run-cli.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL, writeTinyModel } from '../support/tiny-model.ts';

const SHORT = ['--temperature', '0', '--max-tokens', '12'];

describe('hearth run', () => {
  let home: TestHome;
  const run = (args: readonly string[], facts: Partial<InProcessFacts> = {}) =>
    runInProcess(['run', 'tiny-llama', ...args], { directory: home.directory, ...facts });
  beforeAll(async () => {
    home = await createTestHome();
    await installTinyModel(home.hfHome);
  });
  afterAll(async () => {
    await home[Symbol.asyncDispose]();
  });

  it('[store K83] one prompt streams piece by piece on a terminal, and comes at once when piped or with --no-stream', async () => {
    const piped = await run([...SHORT, 'hello there']);
    const streamed = await run([...SHORT, 'hello there'], { terminal: true });
    const atOnce = await run([...SHORT, '--no-stream', 'hello there'], { terminal: true });
    expect([piped.code, streamed.code, atOnce.code]).toEqual([0, 0, 0]);
    const pieces = (writes: readonly string[]) => writes.filter((text) => text !== '\n').length;
    expect(pieces(piped.writes)).toBe(1);
    expect(pieces(atOnce.writes)).toBe(1);
    expect(pieces(streamed.writes)).toBeGreaterThan(3);
    expect(streamed.stderr).toMatch(/\d+ tokens?, \d+(\.\d)? tokens\/s \(prompt \d+ tokens, first token after \d+\.\d s\)/);
  });

  it('[store K84] --json gives model, prompt, response, usage and timings as they were', async () => {
    const { code, stdout } = await run([...SHORT, '--json', 'hello there']);
    expect(code).toBe(0);
    const document = JSON.parse(stdout) as { command: string; data: unknown };
    expect(document.command).toBe('run');
    const data = runDataSchema.parse(document.data);
    expect(data).toMatchObject({
      model: 'tiny-llama',
      prompt: 'hello there',
      finish_reason: 'length',
      engine: 'ember',
      resolved: { name: TINY_MODEL, hash: TINY_COMMIT },
    });
    expect(data.response.length).toBeGreaterThan(0);
    expect(data.tokens_generated).toBe(12);
    // 11 characters of the prompt, and the template around them.
    expect(data.usage).toMatchObject({ completion_tokens: 12, total_tokens: data.usage!.prompt_tokens + 12 });
    expect(data.usage!.prompt_tokens).toBeGreaterThan(11);
    expect(data.timings).toMatchObject({ load_s: expect.any(Number), time_to_first_token_s: expect.any(Number), tokens_per_s: expect.any(Number) });
  });

  it('[store K86] - reads stdin and joins it with the words by a blank line; piped stdin alone is the prompt', async () => {
    const promptOf = async (args: readonly string[], stdin: string): Promise<string> => {
      const { stdout } = await home.run(['run', 'tiny-llama', ...SHORT, '--max-tokens', '1', '--json', ...args], { stdin });
      return (JSON.parse(stdout) as { data: { prompt: string } }).data.prompt;
    };
    expect(await promptOf(['-', 'Sum it up.'], 'a long text\n')).toBe('a long text\n\nSum it up.');
    expect(await promptOf([], 'only this')).toBe('only this');
    expect(await promptOf(['two', 'words'], '')).toBe('two words');
    expect(await promptOf(['--prompt', 'an option'], 'not read')).toBe('an option');
  });

  it('[store K88] stream and batch give the same text at temperature 0, as does a second run', async () => {
    for (const prompt of ['hello there', 'x', 'A somewhat longer question, with marks: 1, 2 and 3?']) {
      const batch = await run([...SHORT, '--max-tokens', '40', prompt]);
      const stream = await run([...SHORT, '--max-tokens', '40', prompt], { terminal: true });
      expect(stream.stdout).toBe(batch.stdout);
      expect(batch.stdout.length).toBeGreaterThan(10);
    }
  });

  it('[store K85] a chat keeps its history and ends at an exit word and at the end of input, with exit 0', async () => {
    const chat = async (lines: readonly string[]) => {
      const stdin = new PassThrough();
      stdin.end(lines.map((line) => `${line}\n`).join(''));
      return await run(
        [...SHORT, '-c', '--json'].filter((word) => word !== '--json'),
        { stdin },
      );
    };
    const twice = await chat(['hello there', 'hello there', 'exit', 'never asked']);
    expect(twice.code).toBe(0);
    const answers = twice.stdout
      .split('Assistant: ')
      .slice(1)
      .map((text) => text.split('\n\nYou: ')[0]);
    expect(answers).toHaveLength(2);
    // The same question gets another answer, because the first turn is part of the prompt.
    expect(answers[1]).not.toBe(answers[0]);
    expect((await chat(['hello there'])).stdout.split('Assistant: ')[1]).toContain(answers[0]!);
    expect((await chat([])).code).toBe(0);
    expect((await run(['-c', '--json'])).code).toBe(1);
  });

  it('[store K85] Ctrl-C while generating goes back to the prompt, on the prompt it ends the chat', async () => {
    const stdin = new PassThrough();
    let asked = 0;
    let interrupted = false;
    const { code, stdout } = await run(['--temperature', '0', '--max-tokens', '400', '-c'], {
      stdin,
      onWrite(text, interrupt) {
        if (text === 'You: ') {
          asked += 1;
          if (asked === 1) stdin.write('hello there\n');
          else setImmediate(interrupt);
        } else if (asked === 1 && !interrupted && !text.startsWith('Assistant') && !text.startsWith('Chatting') && text.trim() !== '') {
          interrupted = true;
          interrupt();
        }
      },
    });
    expect([code, asked]).toEqual([0, 2]);
    expect(stdout).toContain('[Generation interrupted by user]');
  });

  it('Ctrl-C ends a single answer with exit 130, keeping what was said', async () => {
    const { code, stdout, stderr } = await run(['--temperature', '0', '--max-tokens', '400', 'hello there'], {
      terminal: true,
      onWrite: (text, interrupt) => {
        if (text.trim() !== '') interrupt();
      },
    });
    expect(code).toBe(130);
    expect(stdout.length).toBeGreaterThan(0);
    expect(stderr).toContain('[Generation interrupted by user]');
  });

  it('[store K9] hearth-run M equals hearth run M, and an alias name works', async () => {
    const words = ['tiny-llama', ...SHORT, 'hello there', '--quiet'];
    const asRun = await home.run(['run', ...words]);
    expect(asRun).toMatchObject({ code: 0, stderr: '' });
    expect(await home.run(words, { program: 'hearth-run' })).toEqual(asRun);
    for (const [name, before] of [
      ['mlx-run', []],
      ['mlxk', ['run']],
    ] as const) {
      const alias = join(home.directory, name);
      await symlink(join(import.meta.dirname, '../../bin/hearth.js'), alias);
      expect([name, await home.run([...before, ...words], { program: alias })]).toEqual([name, asRun]);
    }
    for (const name of ['mlxk2', 'mlxk-json']) {
      const alias = join(home.directory, name);
      await symlink(join(import.meta.dirname, '../../bin/hearth.js'), alias);
      expect((await home.run(['show', 'tiny-llama', '--json'], { program: alias })).stdout).toBe((await home.run(['show', 'tiny-llama', '--json'])).stdout);
    }
  }, 240_000);

  it('[store K10] a reader that goes away ends it silently', async () => {
    const { child, ended } = home.start(['run', 'tiny-llama', '--temperature', '0', '--max-tokens', '400', 'hello there'], { stdin: '' });
    child.stdout!.destroy();
    const { code, stderr } = await ended;
    expect(code).toBe(0);
    expect(stderr).not.toMatch(/EPIPE|\n\s+at /);
  });

  it('[store K118] the system message reaches the template', async () => {
    const plain = JSON.parse((await run([...SHORT, '--json', 'hi'])).stdout) as { data: { usage: { prompt_tokens: number } } };
    const told = JSON.parse((await run([...SHORT, '--json', '--system', 'Be brief.', 'hi'])).stdout) as { data: { usage: { prompt_tokens: number } } };
    expect(told.data.usage.prompt_tokens).toBeGreaterThan(plain.data.usage.prompt_tokens + 'Be brief.'.length - 1);
  });

  it('runs a directory of the user by its path', async () => {
    await writeTinyModel(join(home.directory, 'my model'));
    const { code, stdout } = await runInProcess(['run', './my model', ...SHORT, '--json', 'hello there'], { directory: home.directory });
    expect(code).toBe(0);
    const { data } = JSON.parse(stdout) as { data: { resolved: { name: string }; response: string } };
    expect(data.resolved.name).toBe('my model');
    expect(stdout).not.toContain(home.directory);
  });

  it('answers the same through a running daemon, streamed over its socket', async () => {
    const alone = await run([...SHORT, '--quiet', 'hello there'], { terminal: true });
    const server = home.start(['serve', '--json', '--port', '0']);
    await server.waitFor('stdout', /\n\}\n/);
    const through = await run([...SHORT, '--quiet', 'hello there'], { terminal: true });
    expect(through).toMatchObject({ code: 0, stdout: alone.stdout });
    expect(through.writes.length).toBeGreaterThan(3);
    const path = await runInProcess(['run', './my model', ...SHORT, '--quiet', 'hello there'], { directory: home.directory });
    expect(path).toMatchObject({ code: 0, stdout: alone.stdout });
    await server.waitFor('stderr', '/v1/chat/completions');
    server.child.kill('SIGTERM');
    expect((await server.ended).code).toBe(0);
  });

  it('SIGTERM ends it with exit 143', async () => {
    const { child, ended, waitFor } = home.start(['run', 'tiny-llama', '--temperature', '0', '--max-tokens', '400', '--verbose', 'hello there'], { stdin: '' });
    await waitFor('stderr', 'loaded in');
    child.kill('SIGTERM');
    expect((await ended).code).toBe(143);
  });

  it('leaves no child behind', async () => {
    const { stdout } = await home.run(['run', 'tiny-llama', ...SHORT, 'hello there']);
    expect(stdout).not.toBe('');
    const ps = spawn('ps', ['-eo', 'args']);
    let listing = '';
    for await (const piece of ps.stdout) listing += String(piece);
    expect(listing.split('\n').filter((line) => line.includes(join('engines', 'ember', 'worker')) && line.includes(home.directory))).toEqual([]);
  });
});
