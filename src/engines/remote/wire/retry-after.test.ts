import { expect, test } from 'vitest';
import { retryAfterMs } from './retry-after.ts';

test('the wait is read from milliseconds, seconds or a date, and from nothing else', () => {
  const now = Date.parse('Wed, 21 Oct 2026 07:28:00 GMT');
  expect(retryAfterMs({ 'retry-after': '2' }, now)).toBe(2_000);
  expect(retryAfterMs({ 'retry-after': '3600' }, now)).toBe(3_600_000);
  expect(retryAfterMs({ 'retry-after': 'Wed, 21 Oct 2026 07:28:05 GMT' }, now)).toBe(5_000);
  expect(retryAfterMs({ 'retry-after': 'Wed, 21 Oct 2026 07:00:00 GMT' }, now)).toBe(0);
  expect(retryAfterMs({ 'retry-after-ms': '250', 'retry-after': '9' }, now)).toBe(250);
  expect(retryAfterMs({ 'retry-after': 'soon' }, now)).toBeUndefined();
  expect(retryAfterMs({ 'retry-after': '-3' }, now)).toBeUndefined();
  expect(retryAfterMs({}, now)).toBeUndefined();
});
