import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemError } from './system-error.ts';

const thrown = (work: () => void): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
};
const made = (code: string) => Object.assign(new Error(code), { code, syscall: 'write', path: '/x/y' });

describe('systemError', () => {
  it('names the file of a real error, and leaves other errors alone', () => {
    const directory = mkdtempSync(join(tmpdir(), 'hearth_test_'));
    try {
      expect(systemError(thrown(() => readFileSync(join(directory, 'gone'))))).toMatchObject({
        code: 'file_system_error',
        message: expect.stringContaining(join(directory, 'gone')),
      });
      expect(systemError(thrown(() => readFileSync(directory)))).toMatchObject({ code: 'file_system_error' });
    } finally {
      rmSync(directory, { recursive: true });
    }
    expect(systemError(Object.assign(new Error('x'), { code: 'ENOSPC', syscall: 'write' }), '/cache')?.message).toContain('/cache');
    expect(systemError(new Error('x'))).toBeNull();
    expect(systemError(made('ECONNREFUSED'))).toBeNull();
  });

  it.each([
    ['ENOSPC', 'insufficient_space'],
    ['EDQUOT', 'insufficient_space'],
    ['EACCES', 'permission_denied'],
    ['EPERM', 'permission_denied'],
    ['EROFS', 'file_system_error'],
  ])('%s is %s', (code, expected) => {
    expect(systemError(made(code))).toMatchObject({ code: expected, message: expect.stringContaining('/x/y') });
  });
});
