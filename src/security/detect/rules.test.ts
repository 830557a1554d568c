import { describe, expect, test } from 'vitest';
import { randomNumbers } from '../../../test/support/random-numbers.ts';
import { cleanDay, lineSignal, promptSignal, requestSignal, type TimedSignal } from '../../../test/support/security-signals.ts';
import type { SecurityEvent } from '../../core/index.ts';
import { type Alert, type AlertCause, createAlertBook } from './alert-book.ts';
import { createDetector } from './detector.ts';
import { RULES, type RuleId, type Signal } from './signal.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const START = Date.UTC(2027, 0, 4, 6);

interface Told {
  readonly alert: Alert;
  readonly cause: AlertCause;
  readonly atMs: number;
}

/** Rules and alerts on a clock of their own. */
function createWatch() {
  const detect = createDetector();
  const told: Told[] = [];
  const events: SecurityEvent[] = [];
  let monoMs = 0;
  let nowMs = START;
  const book = createAlertBook({ record: (event) => events.push(event), notify: (alert, cause) => told.push({ alert, cause, atMs: nowMs }) });
  return {
    book,
    told,
    events,
    /** Time goes on by so much, then the signal comes. */
    send(signal: Signal, afterMs = 0) {
      monoMs += afterMs;
      nowMs += afterMs;
      book.take(detect(signal, { nowMs, monoMs }), nowMs);
    },
    play(signals: readonly TimedSignal[]) {
      const from = { monoMs, nowMs };
      for (const each of signals) {
        monoMs = from.monoMs + each.monoMs;
        nowMs = from.nowMs + each.nowMs - signals[0]!.nowMs;
        const signal = each.signal.kind === 'tick' ? { ...each.signal, uptimeMs: each.signal.uptimeMs + from.nowMs } : each.signal;
        book.take(detect(signal, { nowMs, monoMs }), nowMs);
        book.tick(nowMs);
      }
    },
    rules: () => told.map(({ alert }) => alert.rule),
    of: (rule: RuleId) => told.filter(({ alert }) => alert.rule === rule),
    get nowMs() {
      return nowMs;
    },
    get uptimeMs() {
      return nowMs - START;
    },
  };
}
type Watch = ReturnType<typeof createWatch>;

/** What makes each rule fire once, from a state in which nothing happened or a clean day did. */
const TRACES: Readonly<Record<RuleId, (watch: Watch) => void>> = {
  R1: ({ send }) => send(lineSignal({ event: 'model.refused', model: { id: 'org/bad' }, reason: 'sig_key_revoked', details: { source: 'hub' } })),
  R2: ({ send }) => {
    for (let i = 0; i < 3; i += 1)
      send(lineSignal({ event: 'model.verify.failed', model: { id: 'org/bad' }, reason: 'file_changed', details: { source: 'hub' } }), 10_000);
  },
  R3: ({ send }) => {
    for (let i = 0; i < 5; i += 1) send(lineSignal({ event: 'auth.fail', actor: { ip: '198.51.100.4' } }), 2_000);
  },
  R4: ({ send }) => {
    for (let i = 0; i < 20; i += 1) send(requestSignal({ remoteAddress: '198.51.100.4', status: 400, outcome: 'client_error' }), 500);
  },
  R5: ({ send }) => {
    const random = randomNumbers(5);
    for (let i = 0; i < 80; i += 1) send(requestSignal({ model: 'org/slow', answer: { model: 'org/slow', tokensPerS: 40 + random() } }), 20_000);
    for (let i = 0; i < 3; i += 1) send(requestSignal({ model: 'org/slow', answer: { model: 'org/slow', tokensPerS: 4 } }), 20_000);
  },
  R6: ({ send }) => {
    for (let i = 0; i < 90; i += 1)
      send(requestSignal({ keyId: 'keyofnoone01', answer: { model: 'org/new', promptTokens: 200, completionTokens: 20 } }), MINUTE);
    for (let i = 0; i < 60; i += 1)
      send(requestSignal({ keyId: 'keyofnoone01', answer: { model: 'org/new', promptTokens: 4_000, completionTokens: 20 } }), 4_000);
  },
  R7: ({ send }) => {
    for (let i = 0; i < 3; i += 1) send(lineSignal({ event: 'engine.crashed', model: { id: 'org/broken' } }), MINUTE);
  },
  R8: ({ send }) => send(promptSignal({ caller: 'keyofmallory', score: 6, signs: ['override', 'template markers'] })),
  R9: ({ send }) => {
    for (let i = 0; i < 3; i += 1) send(promptSignal({ caller: 'keyofmallory', hidden: ['tag'] }), 1_000);
  },
  R10: ({ send }) => send(lineSignal({ event: 'secret.leak', model: { id: 'org/model' }, reason: 'hub-token' })),
  R11: ({ send }) => send({ kind: 'verified', ok: false, fault: 'line_changed' }),
  R12: ({ send }) => send(lineSignal({ event: 'listener.open', severity: 'critical', details: { addresses: ['http://0.0.0.0:4000'] } })),
};
const IDS = Object.keys(RULES) as RuleId[];

describe('rules of detection', () => {
  test.each(IDS)('[security G73] %s fires once on its trace, counts what comes again, and fires anew when it was over', (rule) => {
    const watch = createWatch();
    TRACES[rule](watch);
    const first = watch.of(rule);
    expect(first.map(({ cause }) => cause)).toEqual(['new']);
    expect(first[0]!.alert).toMatchObject({ rule, count: 1, severity: RULES[rule].severity, acknowledged: null });
    expect(watch.events.filter(({ event, reason }) => event === 'alert.raise' && reason === rule)).toHaveLength(1);

    // The same within ten minutes is the same alert.
    watch.send(lineSignal({ event: 'audit.checkpoint' }), 1_000);
    if (!['R5', 'R6'].includes(rule)) TRACES[rule](watch);
    expect(watch.of(rule).filter(({ cause }) => cause === 'new')).toHaveLength(1);

    // Acknowledged, and quiet for a day: it is over, and what comes then is a new alert.
    watch.book.acknowledge(first[0]!.alert.id, 'owner', watch.nowMs);
    expect(watch.book.list().filter(({ acknowledged, rule: of }) => acknowledged === null && of === rule)).toEqual([]);
    watch.send(lineSignal({ event: 'audit.checkpoint' }), 24 * HOUR);
    TRACES[rule](watch);
    const again = watch.of(rule).filter(({ cause }) => cause === 'new');
    expect(again).toHaveLength(2);
    expect(again[1]!.alert.id).not.toBe(first[0]!.alert.id);
    expect(again[1]!.alert.subject).toBe(first[0]!.alert.subject);
  });

  test.each([1, 2, 3])('[security G73] no rule says anything in a day of clean traffic, and each still fires after it (day %i)', (seed) => {
    const watch = createWatch();
    const day = cleanDay(seed);
    expect(day.length).toBeGreaterThan(20_000);
    watch.play(day);
    expect(watch.told.map(({ alert: { rule, message } }) => `${rule} ${message}`)).toEqual([]);
    for (const rule of IDS) {
      TRACES[rule](watch);
      expect(watch.of(rule).length, rule).toBeGreaterThan(0);
    }
  });

  test('[security G73] the further triggers of the rules fire too', () => {
    const fires = (rule: RuleId, about: RegExp, signals: (watch: Watch) => void) => {
      const watch = createWatch();
      signals(watch);
      expect(
        watch
          .of(rule)
          .map(({ alert }) => alert.subject)
          .join(' | '),
        `${rule} ${about}`,
      ).toMatch(about);
    };
    fires('R1', /first use/, ({ send }) => send(lineSignal({ event: 'model.verify.ok', model: { id: '/tmp/new' }, details: { firstUse: true } })));
    fires('R2', /org\/bad/, ({ send }) => {
      for (const source of ['hub', 'path'])
        send(lineSignal({ event: 'model.refused', model: { id: 'org/bad' }, reason: 'sig_missing', details: { source } }), 1_000);
    });
    fires('R3', /all addresses/, ({ send }) => {
      for (let i = 0; i < 20; i += 1) send(lineSignal({ event: 'auth.fail', actor: { ip: `198.51.100.${i}` } }), 1_000);
    });
    fires('R3', /success from/, ({ send }) => send(lineSignal({ event: 'auth.recovered', actor: { ip: '198.51.100.4', key: 'keyofalice01' } })));
    fires('R4', /paths of/, ({ send }) => {
      for (let i = 0; i < 15; i += 1) send(requestSignal({ status: 404, path: `/wp-admin/${i}` }), 500);
    });
    fires('R4', /refusals of/, ({ send }) => {
      for (let i = 0; i < 20; i += 1) send(requestSignal({ status: i % 3 === 0 ? 200 : 400 }), 1_000);
    });
    fires('R5', /first token/, ({ send }) => {
      for (let i = 0; i < 70; i += 1) send(requestSignal({ answer: { prefillMs: 100 + (i % 7) } }), 1_000);
      for (let i = 0; i < 3; i += 1) send(requestSignal({ answer: { prefillMs: 5_000 } }), 1_000);
    });
    fires('R5', /errors/, ({ send }) => {
      for (let i = 0; i < 70; i += 1) send(requestSignal({ model: 'org/model' }), MINUTE);
      for (let i = 0; i < 5; i += 1) send(requestSignal({ model: 'org/model', outcome: 'engine_error', status: 500 }), MINUTE);
    });
    fires('R5', /speed/, ({ send }) => {
      // One request in ten minutes: compared with the median.
      for (let i = 0; i < 70; i += 1) send(requestSignal({ answer: { tokensPerS: 40 + (i % 5) } }), 10 * MINUTE);
      for (let i = 0; i < 3; i += 1) send(requestSignal({ answer: { tokensPerS: 5 } }), 10 * MINUTE);
    });
    fires('R7', /memory of org/, ({ send }) => {
      for (let i = 0; i < 30; i += 1) send({ kind: 'memory', model: 'org/model', usedBytes: 4e9 + i * 5e7, limitBytes: 6e9 }, 10_000);
    });
    fires('R7', /machine/, ({ send }) => send({ kind: 'pressure', level: 'hard', reason: 'everything waited' }));
    fires('R8', /tools of/, ({ send }) => {
      for (let i = 0; i < 5; i += 1) send(lineSignal({ event: 'tool.deny', actor: { key: 'agent' } }), 10_000);
    });
    fires('R9', /encoded/, ({ send }) => send(promptSignal({ encodedCharacters: 5_000 })));
    fires('R11', /gap/, ({ send }) => send(lineSignal({ event: 'audit.gap', reason: 'lost' })));
    fires('R11', /clock/, (watch) => {
      watch.send({ kind: 'tick', uptimeMs: watch.uptimeMs });
      watch.send({ kind: 'tick', uptimeMs: watch.uptimeMs - 6 * MINUTE }, 0);
    });
    fires('R11', /silence/, (watch) => {
      for (let i = 0; i < 25; i += 1) watch.send({ kind: 'tick', uptimeMs: watch.uptimeMs + 30_000 }, 30_000);
    });
    fires('R12', /169\.254/, ({ send }) => send(lineSignal({ event: 'egress.blocked', details: { host: '169.254.169.254' } })));
  });
});

describe('alerts', () => {
  const finding = (subject = 'x') => [{ rule: 'R8' as const, subject, message: 'something' }];

  function createBook() {
    const told: { cause: AlertCause; severity: string }[] = [];
    const events: SecurityEvent[] = [];
    const book = createAlertBook({ record: (event) => events.push(event), notify: ({ severity }, cause) => told.push({ cause, severity }) });
    return { book, told, events };
  }

  test('what comes again is counted within ten minutes, told after them, and weighs more the fourth time', () => {
    const { book, told } = createBook();
    book.take(finding(), 0);
    book.take(finding(), MINUTE);
    expect(told).toEqual([{ cause: 'new', severity: 'medium' }]);
    book.take(finding(), 11 * MINUTE);
    expect(told.at(-1)).toEqual({ cause: 'again', severity: 'medium' });
    book.take(finding(), 12 * MINUTE);
    expect(told.at(-1)).toEqual({ cause: 'repeats', severity: 'high' });
    book.take(finding(), 13 * MINUTE);
    expect(told).toHaveLength(3);
    expect(book.list()).toMatchObject([{ count: 5, severity: 'high', escalated: 'repeats' }]);
  });

  test('what nobody acknowledges for half an hour weighs more, once, and what is acknowledged does not', () => {
    const { book, told, events } = createBook();
    book.take(finding('a'), 0);
    book.take(finding('b'), 0);
    const acknowledged = book.list().find(({ subject }) => subject === 'b')!;
    expect(book.acknowledge(acknowledged.id, 'owner', MINUTE)).toMatchObject({ acknowledged: { by: 'owner' } });
    expect(book.acknowledge(acknowledged.id, 'owner', MINUTE)).toBeNull();
    book.tick(29 * MINUTE);
    book.tick(30 * MINUTE);
    book.tick(90 * MINUTE);
    expect(told.slice(2)).toEqual([{ cause: 'unacknowledged', severity: 'high' }]);
    expect(events.map(({ event }) => event)).toEqual(['alert.raise', 'alert.raise', 'alert.ack', 'alert.raise']);
  });

  test('a silence keeps an alert from sinks until its end, never from the log', () => {
    const { book, told, events } = createBook();
    const silence = book.silence({ rule: 'R8', subject: null, untilMs: HOUR, reason: 'maintenance', by: 'owner' }, 0);
    book.take(finding(), MINUTE);
    expect(told).toEqual([]);
    expect(events.map(({ event, details }) => [event, details?.['silenced']])).toEqual([
      ['config.change', undefined],
      ['alert.raise', true],
    ]);
    expect(book.silences(MINUTE)).toEqual([silence]);
    book.take(finding('other'), HOUR + 1);
    expect(told).toHaveLength(1);
    expect(book.silences(HOUR + 1)).toEqual([]);
    expect(book.endSilence(silence.id, 'owner')).toBe(true);
  });
});
