import type { RequestEndEvent } from '../../contract/index.ts';
import type { HiddenText, SecuritySeverity } from '../../core/index.ts';
import type { AuditLine } from '../audit/index.ts';

/** The rules of docs/spec/security.md §18, each with what it watches and the weight that its alerts have unless the finding says another. */
export const RULES = {
  R1: { severity: 'high', title: 'A model failed its verification, or hearth loads one that it never saw' },
  R2: { severity: 'critical', title: 'A model fails its verification again and again' },
  R3: { severity: 'high', title: 'Somebody guesses API keys' },
  R4: { severity: 'medium', title: 'Somebody probes the server' },
  R5: { severity: 'medium', title: 'A model answers otherwise than it used to' },
  R6: { severity: 'medium', title: 'A caller uses far more tokens than it used to' },
  R7: { severity: 'high', title: 'An engine crashes again and again, or memory runs out' },
  R8: { severity: 'medium', title: 'A text looks like a prompt injection, or tools are refused' },
  R9: { severity: 'low', title: 'Prompts hold what people do not see' },
  R10: { severity: 'critical', title: 'A secret is in an answer' },
  R11: { severity: 'critical', title: 'The security log or the clock is not what it was' },
  R12: { severity: 'critical', title: 'Other machines reach this server, or something in it reached out' },
} as const satisfies Record<string, { readonly severity: SecuritySeverity; readonly title: string }>;
export type RuleId = keyof typeof RULES;

/** When a signal came: milliseconds since the epoch, and of a clock that never goes back. */
export interface Moment {
  readonly nowMs: number;
  readonly monoMs: number;
}

/** What was found in the new texts of a request; never the texts themselves. */
export interface PromptFacts {
  /** Who sent it. */
  readonly caller: string;
  readonly requestId: string;
  readonly model: string | null;
  /** Of the injection score, with the names of what was found. */
  readonly score: number;
  readonly signs: readonly string[];
  readonly hidden: readonly HiddenText[];
  /** The longest run of base64 in a text, in characters. */
  readonly encodedCharacters: number;
}

/** What rules hear of. */
export type Signal =
  | { readonly kind: 'line'; readonly line: Pick<AuditLine, 'event' | 'severity' | 'reason' | 'model' | 'actor' | 'details'> }
  | { readonly kind: 'request'; readonly event: RequestEndEvent }
  | { readonly kind: 'prompt'; readonly facts: PromptFacts }
  | { readonly kind: 'pressure'; readonly level: 'normal' | 'soft' | 'hard'; readonly reason: string }
  /** Memory of the process of a model that is ready. */
  | { readonly kind: 'memory'; readonly model: string; readonly usedBytes: number; readonly limitBytes: number }
  /** The whole log was read. */
  | { readonly kind: 'verified'; readonly ok: boolean; readonly fault: string | null }
  /** Every so often. `uptimeMs` goes on while the machine sleeps, and nobody can set it. */
  | { readonly kind: 'tick'; readonly uptimeMs: number };

export interface Finding {
  readonly rule: RuleId;
  /** Whom or what it is about; one alert for each rule and subject. */
  readonly subject: string;
  /** Absent: the rule's. */
  readonly severity?: SecuritySeverity;
  readonly message: string;
  readonly details?: Readonly<Record<string, string | number | boolean | null | readonly string[]>>;
}

/** One family of rules: state and time come from the signals alone, so that a replayed log tells the same again. */
export interface Rule {
  take(signal: Signal, at: Moment): readonly Finding[];
}
