import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from './commands/index.ts';
import { completionScript } from './completion-script.ts';

describe('completion', () => {
  it('the bash script completes verbs, second words and options', () => {
    const complete = (...words: string[]): string[] => {
      const script = `${completionScript('bash', COMMANDS)}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})\nCOMP_CWORD=${words.length - 1}\n_hearth\nprintf '%s\\n' "\${COMPREPLY[@]}"`;
      return execFileSync('bash', ['-c', script], { encoding: 'utf8' })
        .split('\n')
        .filter((line) => line !== '');
    };
    expect(complete('hearth', 'se')).toEqual(['serve']);
    expect(complete('hearth', 'config', 'e')).toEqual(['explain']);
    expect(complete('hearth', 'run', '--temperat')).toEqual(['--temperature']);
    expect(complete('hearth', 'config', 'get', '--js')).toEqual(['--json']);
    expect(complete('hearth', 'keys', 'ap')).toEqual(['approve', 'api']);
    expect(complete('hearth', 'keys', 'api', 'n')).toEqual(['new']);
    expect(complete('hearth', 'keys', 'api', 'new', '--na')).toEqual(['--name']);
    expect(complete('hearth', 'set')).not.toContain('setup');
  });

  it.each(['zsh', 'fish'] as const)('the %s script is one that the shell can read', (shell) => {
    const script = completionScript(shell, COMMANDS);
    for (const verb of ['run', 'list', 'pull', 'serve', 'config']) expect(script).toMatch(new RegExp(`\\b${verb}\\b`));
    const checked = spawnSync(shell, ['-n'], { input: script, encoding: 'utf8' });
    if (checked.error === undefined) expect(checked.stderr).toBe(''); // where the shell is installed
  });
});
