import { describe, expect, it } from 'vitest';
import { compileIgnoreRules } from './ignore-rules.ts';

describe('ignore rules of a push', () => {
  it('read lines as git does, and never give up what must not be sent', () => {
    const cases: readonly (readonly [text: string, path: string, ignored: boolean])[] = [
      ['', 'config.json', false],
      ['', 'sub/.DS_Store', true],
      ['', 'a/__pycache__/', true],
      ['', '.git/', true],
      ['', 'x.pyc', true],
      ['!x.pyc', 'x.pyc', false],
      ['!.git/\n!.hf_cache/\n!.mlxk_workspace.json\n!.hfignore', '.git/', true],
      ['!.hf_cache/', '.hf_cache/', true],
      ['!.mlxk_workspace.json', '.mlxk_workspace.json', true],
      ['!.hfignore', '.hfignore', true],
      ['*.txt', 'sub/a.txt', true],
      ['/a.txt', 'a.txt', true],
      ['/a.txt', 'sub/a.txt', false],
      ['notes', 'notes/', true],
      ['notes/', 'notes/', true],
      ['notes/', 'notes', false],
      ['sub/*.txt', 'sub/a.txt', true],
      ['sub/*.txt', 'sub/deep/a.txt', false],
      ['sub/**', 'sub/deep/a.txt', true],
      ['**/x.txt', 'a/b/x.txt', true],
      ['**/x.txt', 'x.txt', true],
      ['a/**/z', 'a/z', true],
      ['a/**/z', 'a/b/c/z', true],
      ['*.txt\n!keep.txt', 'keep.txt', false],
      ['!keep.txt\n*.txt', 'keep.txt', true],
      ['# comment\n\n\\#file\n\\!file', '#file', true],
      ['\\!file', '!file', true],
      ['trail   ', 'trail', true],
      ['a?c', 'abc', true],
      ['a?c', 'a/c', false],
      ['[ab].txt', 'b.txt', true],
      ['[!ab].txt', 'b.txt', false],
      ['[!ab].txt', 'c.txt', true],
      ['a+(b).txt', 'a+(b).txt', true],
      ['[', '[', true],
      ['a.b', 'axb', false],
      ['*.TXT', 'a.txt', false],
    ];
    for (const [text, path, ignored] of cases) {
      const directory = path.endsWith('/');
      expect([text, path, compileIgnoreRules(text).ignores(directory ? path.slice(0, -1) : path, directory ? 'directory' : 'file')]).toEqual([
        text,
        path,
        ignored,
      ]);
    }
  });

  it('stay fast for patterns that are made to be slow', () => {
    const rules = compileIgnoreRules(`${'**/'.repeat(200)}x\n${'*a'.repeat(12)}b`);
    expect(rules.ignores(`${'a/'.repeat(12)}y`, 'file')).toBe(false);
    expect(rules.ignores('a'.repeat(4000), 'file')).toBe(false);
  });
});
