import { SUSPICIOUS } from '../rules/content-rules.ts';
import { HELD_OUT_TEXTS, type LabelledText, TRAINING_TEXTS } from './labelled-set.ts';
import { scoreTexts } from './score.ts';

/** How well the score tells injections from ordinary texts, from `threshold` on. */
export interface ScoreQuality {
  readonly threshold: number;
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly falseNegatives: number;
  readonly trueNegatives: number;
  /** Of what was found, the share that was one; null where nothing was found. */
  readonly precision: number | null;
  /** Of those that were there, the share that was found. */
  readonly recall: number | null;
}

export interface InjectionEvaluation {
  /** Score from which on rule R8 raises an alert, and requests are refused where that is configured. */
  readonly threshold: number;
  readonly languages: readonly string[];
  /** Texts that were looked at while the patterns were written, and those that were not. */
  readonly training: readonly ScoreQuality[];
  readonly heldOut: readonly ScoreQuality[];
}

export function evaluateInjectionScore(): InjectionEvaluation {
  const of = (texts: readonly LabelledText[]) => [SUSPICIOUS, 3].map((threshold) => qualityOf(texts, threshold));
  return {
    threshold: SUSPICIOUS,
    languages: [...new Set([...TRAINING_TEXTS, ...HELD_OUT_TEXTS].map(({ language }) => language))].sort(),
    training: of(TRAINING_TEXTS),
    heldOut: of(HELD_OUT_TEXTS),
  };
}

export function qualityOf(texts: readonly LabelledText[], threshold: number): ScoreQuality {
  const count = (injection: boolean, found: boolean) =>
    texts.filter((text) => text.injection === injection && scoreTexts([text]).score >= threshold === found).length;
  const [truePositives, falsePositives, falseNegatives, trueNegatives] = [count(true, true), count(false, true), count(true, false), count(false, false)];
  const share = (part: number, all: number) => (all === 0 ? null : Math.round((part / all) * 1000) / 1000);
  return {
    threshold,
    truePositives,
    falsePositives,
    falseNegatives,
    trueNegatives,
    precision: share(truePositives, truePositives + falsePositives),
    recall: share(truePositives, truePositives + falseNegatives),
  };
}
