import { expect, test } from 'vitest';
import { withTimeLimit } from '../../core/index.ts';
import { compileTemplate } from './index.ts';

const VALUES = { messages: [{ role: 'user', content: 'Hi' }], tools: [{ a: 1 }], bos_token: '<s>' };

/** Chains that leave the language in its original, or in an interpreter of JavaScript, if it lets them. */
const ESCAPES: readonly string[] = [
  "{{ ''.__class__.__mro__[1].__subclasses__() }}",
  "{{ ().__class__.__bases__[0].__subclasses__()[40]('/etc/passwd').read() }}",
  "{{ messages.__class__.__init__.__globals__['os'].popen('id').read() }}",
  "{{ self.__init__.__globals__.__builtins__.__import__('os').popen('id').read() }}",
  "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
  "{{ lipsum.__globals__['os'].popen('id').read() }}",
  '{{ joiner.__init__.__globals__ }}',
  '{{ request.application.__globals__.__builtins__ }}',
  '{{ config.items() }}',
  '{{ namespace.__init__.__globals__ }}',
  '{{ raise_exception.__globals__ }}',
  '{{ range.__self__ }}',
  "{{ messages | attr('__class__') }}",
  "{{ messages | map(attribute='__class__') | first }}",
  "{{ ''.constructor.constructor('return process')() }}",
  "{{ ''['constructor']['constructor']('return process')() }}",
  '{{ messages.constructor.prototype }}',
  "{{ messages['__proto__'] }}",
  "{{ messages[0]['__proto__']['toString'] }}",
  '{{ messages[0].constructor }}',
  '{{ messages[0].toString }}',
  "{{ messages[0].hasOwnProperty('role') }}",
  "{{ range.constructor('return 1')() }}",
  "{{ raise_exception.constructor('return 1')() }}",
  '{{ strftime_now.call }}',
  '{{ (messages | tojson).constructor }}',
  '{{ messages.map.constructor }}',
  '{{ globalThis }}{{ process }}{{ require }}{{ module }}{{ this }}{{ Function }}{{ eval }}',
  "{{ import('node:fs') }}",
  '{% set x = {}.__proto__ %}{{ x }}',
  "{% include '/etc/passwd' %}",
  "{% import '/etc/passwd' as x %}",
  "{% from 'os' import popen %}",
  "{% extends 'base.html' %}",
  '{% block x %}{{ super() }}{% endblock %}',
];

test.each(ESCAPES)('[security G25] %s renders to nothing, or is an error', (template) => {
  let text = '';
  try {
    text = withTimeLimit(() => compileTemplate(template).render(VALUES), 5_000, { code: 'template_limit', subject: 'It' });
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
  }
  expect(text.trim()).toBe('');
});

test('[security G25] nothing that a template sets reaches the prototypes or the values of the caller', () => {
  const values = structuredClone(VALUES);
  for (const template of [
    '{% set x = namespace(a=1) %}{% set x.__proto__ = 5 %}{% set x.polluted = 1 %}{{ x.a }}',
    "{% set x = namespace() %}{% set x['constructor'] = 1 %}",
    '{% set messages = 5 %}{% set tools = [] %}',
    "{% set __proto__ = {'polluted': 1} %}{{ polluted }}",
    "{{ {'__proto__': {'polluted': 1}}.polluted }}",
    "{{ messages[0].update({'role': 'x'}) }}{{ messages.append(1) }}{{ tools.pop() }}",
  ]) {
    try {
      compileTemplate(template).render(values);
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
    }
  }
  expect(values).toEqual(VALUES);
  expect(({} as Record<string, unknown>)['polluted']).toBe(undefined);
  expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('polluted');
});
