import { describe, expect, it } from 'vitest';
import { HearthError } from '../core/index.ts';
import { createEventBus } from './event-bus.ts';
import { createLogger } from './logger.ts';

function capture(json: boolean, level: 'debug' | 'warning' = 'debug') {
  const lines: string[] = [];
  const output = { write: (line: string) => lines.push(line) > 0 };
  return { lines, logger: createLogger({ level, json, output: output as never, userHome: '/home/ada' }) };
}

describe('logger', () => {
  it('[store K112] writes JSON lines with ts, level and msg, and strips secrets and the home path from every field', () => {
    const { lines, logger } = capture(true);
    logger.warning('token hf_abcdefghijklmnopqrstuvwxyz0123456789 in /home/ada/x', { path: '/home/ada/.hearth', header: 'Bearer abcdef' });
    const line = JSON.parse(lines[0]!) as Record<string, string>;
    expect(line).toMatchObject({ level: 'warning', path: '~/.hearth', header: expect.stringMatching(/^Bearer \[redacted:bearer:[0-9a-f]{8}\]$/) });
    expect(line['msg']).toMatch(/^token \[redacted:hub-token:[0-9a-f]{8}\] in ~\/x$/);
    expect(Date.parse(line['ts']!)).not.toBeNaN();
  });

  it('writes text as one line without control characters, and no line below its level', () => {
    const { lines, logger } = capture(false, 'warning');
    logger.info('not written');
    logger.error('two\nlines \x1b[31m', { pid: 3, error: new HearthError('locked', 'held') });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d error {3}two\\x0alines \\x1b\[31m {2}pid=3 {2}error=\{"message":"held","code":"locked"\}\n$/);
  });
});

describe('event bus', () => {
  it('tells every listener, also after one that throws, until it stops listening', () => {
    const errors: unknown[] = [];
    const bus = createEventBus((error) => errors.push(error));
    const heard: string[] = [];
    bus.subscribe(() => {
      throw new Error('broken');
    });
    const stop = bus.subscribe((event) => heard.push(event.kind));
    bus.emit({ kind: 'model-load-start' });
    stop();
    bus.emit({ kind: 'model-load-end' });
    expect(heard).toEqual(['model-load-start']);
    expect(errors).toHaveLength(2);
  });
});
