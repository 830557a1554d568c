import type { Client } from '../../client/index.ts';
import type { BenchLine } from '../../contract/index.ts';
import type { Context } from '../context.ts';
import type { ReadyModel } from '../generate/ready-model.ts';
import type { MeasuredAnswer } from './measure.ts';

export type SuiteName = 'smoke' | 'standard';

/** What a case works with, and what it found. */
export interface CaseWork {
  readonly context: Context;
  readonly client: Client;
  readonly ready: ReadyModel;
  prompt(tokens: number, salt: string): Promise<number[]>;
  ask(prompt: readonly number[], maxTokens: number, signal?: AbortSignal): Promise<MeasuredAnswer>;
}

export interface CaseResult {
  readonly passed: boolean;
  readonly performance?: BenchLine['performance'];
  readonly stopTokens?: BenchLine['stop_tokens'];
  readonly timeline?: BenchLine['timeline'];
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export type SuiteCase = { readonly name: string; readonly run: (work: CaseWork) => Promise<CaseResult> };
