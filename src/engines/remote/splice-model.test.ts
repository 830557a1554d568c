import { expect, test } from 'vitest';
import { spliceModel } from './splice-model.ts';

const splice = (text: string, model = 'new "name"') => Buffer.from(spliceModel(new TextEncoder().encode(text), model)).toString();

test('only the value of the top-level model changes, wherever and however it is written', () => {
  expect(splice('{"model":"a","x":1}')).toBe('{"model":"new \\"name\\"","x":1}');
  expect(splice('  { "messages" : [{"model":"keep","content":"\\"model\\": \\"no\\""}] ,\n\t"model" :\r\n "a\\"}b" , "y": 1.0e5 }', 'b')).toBe(
    '  { "messages" : [{"model":"keep","content":"\\"model\\": \\"no\\""}] ,\n\t"model" :\r\n "b" , "y": 1.0e5 }',
  );
  expect(splice('{"a":"model","mod\\u0065l":"x","tools":[{"model":"m"},"model","x"],"b":{"model":"n"}}', 'z')).toBe(
    '{"a":"model","mod\\u0065l":"z","tools":[{"model":"m"},"model","x"],"b":{"model":"n"}}',
  );
  expect(splice('{"é🌍":"model","model":"ü"}', 'ö')).toBe('{"é🌍":"model","model":"ö"}');
  expect(splice('{"x":1}')).toBe('{"x":1}');
});
