import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type IntakeRun, startIntake } from '../../../test/support/intake-run.ts';

let run: IntakeRun;
beforeAll(async () => {
  run = await startIntake();
});
afterAll(() => run?.[Symbol.asyncDispose]());

const inConfig = (template: string) => ({ 'tokenizer_config.json': JSON.stringify({ chat_template: template }) });

describe('[security G24] a template that is a bomb does not enter, and its helper is replaced', () => {
  test.each([
    ['a loop of 3000 × 3000', '{% for a in range(3000) %}{% for b in range(3000) %}x{% endfor %}{% endfor %}'],
    ['a range of 1e9', '{{ range(1000000000) }}'],
    ['20,000 nested parentheses', `{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`],
    ['100 MB of output', "{% set ns = namespace(x='0123456789') %}{% for a in range(24) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}"],
    ['a list that doubles', '{% set ns = namespace(x=[1]) %}{% for a in range(30) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x | length }}'],
    ['a length of 1 MiB and one', 'x'.repeat(2 ** 20 + 1)],
  ])('%s', async (_, template) => {
    // Another template is tried at the same time, in another helper, and the same one afterwards.
    const [bomb, other] = await Promise.all([run.inspect(inConfig(template)), run.inspect(inConfig('{{ messages[0].content }}'))]);
    expect(bomb.findings).toMatchObject([{ stage: 'template', code: 'template_limit', file: 'tokenizer_config.json' }]);
    expect(other).toMatchObject({ findings: [], templates: [{ problem: null }] });
    expect((await run.inspect({ 'chat_template.jinja': '{{ messages[0].content }}' })).findings).toEqual([]);
  });
});

describe('the linter', () => {
  test('says what it does not know and what cannot be rendered, without refusing the model', async () => {
    const report = await run.inspect({
      'chat_template.jinja': "{{ messages[0].content | shell }}{% if messages is evil %}{{ popen('id') }}{% endif %}",
      ...inConfig('{% for %}'),
      'chat_template.json': JSON.stringify({
        chat_template: [
          { name: 'a', template: "{{ raise_exception('no') }}" },
          { name: 'b', template: '{{ 1 }}' },
        ],
      }),
    });
    expect(report.findings).toEqual([]);
    expect(report.warnings.map(({ code, file }) => [code, file])).toEqual([
      ['template_render', 'chat_template.jinja'],
      ['template_name', 'chat_template.jinja'],
      ['template_name', 'chat_template.jinja'],
      ['template_name', 'chat_template.jinja'],
      ['template_syntax', 'tokenizer_config.json'],
      ['template_render', 'chat_template.json'],
    ]);
    expect(report.templates.map(({ problem }) => problem === null)).toEqual([false, false, false, true]);
  });

  test('templates that refuse one order of roles and take another pass', async () => {
    const strict = "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('only users') }}{% endif %}{{ m.content }}{% endfor %}";
    expect(await run.inspect(inConfig(strict))).toMatchObject({ findings: [], warnings: [] });
  });

  test('helpers can neither write nor start anything, and leave nothing', async () => {
    await run.inspect(inConfig("{{ ''.constructor.constructor('return process')().kill() }}"));
    expect(await readdir(`${run.root}/helpers`)).toEqual([]);
  });
});
