import { createAccessRules } from './rules/access-rules.ts';
import { createContentRules } from './rules/content-rules.ts';
import { createEngineRules } from './rules/engine-rules.ts';
import { createLogRules } from './rules/log-rules.ts';
import { createModelRules } from './rules/model-rules.ts';
import { createTrafficRules } from './rules/traffic-rules.ts';
import type { Finding, Moment, Signal } from './signal.ts';

/** R1 to R12 over one stream of signals (docs/spec/security.md §18). Depends on nothing but what it is given. */
export function createDetector({ heartbeatMs = 300_000 }: { readonly heartbeatMs?: number } = {}): (signal: Signal, at: Moment) => readonly Finding[] {
  const rules = [createModelRules(), createAccessRules(), createTrafficRules(), createEngineRules(), createContentRules(), createLogRules({ heartbeatMs })];
  return (signal, at) => rules.flatMap((rule) => rule.take(signal, at));
}
