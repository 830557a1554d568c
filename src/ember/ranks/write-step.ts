import { HearthError } from '../../core/index.ts';
import { PAGE_TOKENS } from '../kernel-interface.ts';
import { firstPageSeen } from '../kv/page-groups.ts';
import type { RunningStates, StatePlan } from '../kv/running-states.ts';
import type { PageGroup, StepSequence } from '../types.ts';
import { HEADER, MAX_ADJUSTMENTS, MAX_CANDIDATES, MAX_MASKS, maskWords, RECORD } from './step-words.ts';

export interface StepLimits {
  readonly batchTokens: number;
  readonly pageGroups: readonly PageGroup[];
  readonly vocabulary: number;
  /** Whether texts have a type by their place in a pair. */
  readonly pairs: boolean;
  hasAdapter(slot: number): boolean;
  readonly states: RunningStates | null;
}

/** Rows that a sequence asks for: its last ones. */
export function rowsOf({ output, rows, tokens }: StepSequence): number {
  if (output === 'none') return 0;
  return output === 'all' ? tokens.length : (rows ?? (output === 'last' ? 1 : tokens.length));
}

/** Rows of which it gets a summary: those of 'last', and the last one of 'all'. */
export const summariesOf = (sequence: StepSequence): number => (sequence.output === 'last' ? rowsOf(sequence) : sequence.output === 'all' ? 1 : 0);

/** Checks a batch and writes it; returns its rows. */
export function writeStep(sequences: readonly StepSequence[], words: Int32Array, floats: Float32Array, masks: Uint32Array, limits: StepLimits): number {
  const tokens = sequences.reduce((sum, s) => sum + s.tokens.length, 0);
  const adjustments = sequences.reduce((sum, s) => sum + s.adjustments.length, 0);
  if (sequences.length === 0 || tokens > limits.batchTokens) throw refuse(`a step holds 1 to ${limits.batchTokens} tokens, not ${tokens}`);
  if (adjustments > MAX_ADJUSTMENTS) throw refuse(`a step holds at most ${MAX_ADJUSTMENTS} adjusted logits, not ${adjustments}`);
  const firstToken = HEADER.words + sequences.length * RECORD.words;
  limits.states?.begin();
  let token = 0;
  let row = 0;
  let summary = 0;
  let mask = 0;
  let hiddenRows = 0;
  let end = firstToken + tokens;
  sequences.forEach((sequence, i) => {
    const pages = checkSequence(sequence, i, limits);
    const at = HEADER.words + i * RECORD.words;
    const rows = rowsOf(sequence);
    if (sequence.output === 'hidden') hiddenRows += rows;
    else if (rows > 0 && hiddenRows > 0) throw refuse(`sequence ${i} wants logits behind one that wants hidden rows`);
    words[at + RECORD.position] = sequence.position;
    words[at + RECORD.tokens] = sequence.tokens.length;
    words[at + RECORD.firstToken] = token;
    words[at + RECORD.rows] = rows;
    words[at + RECORD.firstRow] = row;
    words[at + RECORD.summaries] = summariesOf(sequence);
    words[at + RECORD.firstSummary] = summary;
    floats[at + RECORD.temperature] = sequence.temperature > 0 ? sequence.temperature : 1;
    words[at + RECORD.candidates] = sequence.candidates;
    words[at + RECORD.rawCandidates] = sequence.rawCandidates ?? -1;
    words[at + RECORD.keepRow] = sequence.output === 'all' ? 1 : 0;
    words[at + RECORD.adapter] = sequence.adapter?.slot ?? -1;
    floats[at + RECORD.adapterScale] = sequence.adapter?.scale ?? 0;
    words[at + RECORD.secondText] = sequence.secondText ?? sequence.tokens.length;
    if (limits.states) for (const [key, value] of Object.entries(limits.states.plan(sequence))) words[at + RECORD[key as keyof StatePlan]] = value;
    for (const id of sequence.tokens) words[firstToken + token++] = id;
    row += rows;
    summary += summariesOf(sequence);
    words[at + RECORD.pages] = end;
    words[at + RECORD.pageCount] = pages;
    for (const table of sequence.pages) {
      words.set(table.subarray(0, pages), end);
      end += pages;
    }
    words[at + RECORD.adjustments] = end;
    words[at + RECORD.adjustmentCount] = sequence.adjustments.length;
    for (const { id, multiply, add } of sequence.adjustments) {
      words[end] = id;
      floats[end + 1] = multiply;
      floats[end + 2] = add;
      end += 3;
    }
    words[at + RECORD.targets] = sequence.targets === undefined ? 0 : end;
    for (const id of sequence.targets ?? []) words[end++] = id;
    words[at + RECORD.mask] = -1;
    if (sequence.mask === undefined || summariesOf(sequence) === 0) return;
    if (mask === MAX_MASKS) throw refuse(`a step holds at most ${MAX_MASKS} masks`);
    masks.set(sequence.mask.subarray(0, maskWords(limits.vocabulary)), mask * maskWords(limits.vocabulary));
    words[at + RECORD.mask] = mask++;
  });
  words[HEADER.sequences] = sequences.length;
  words[HEADER.tokens] = tokens;
  words[HEADER.rows] = row;
  words[HEADER.used] = end;
  words[HEADER.firstToken] = firstToken;
  words[HEADER.logitRows] = row - hiddenRows;
  return row;
}

/** Pages that the sequence needs; refuses what a kernel must never see, since it would read beside its buffers. */
function checkSequence(sequence: StepSequence, index: number, { vocabulary, pageGroups, pairs, hasAdapter }: StepLimits): number {
  const { position, tokens, candidates, rawCandidates = 0, targets, mask, adapter, secondText } = sequence;
  const cells = position + tokens.length;
  const pages = Math.ceil(cells / PAGE_TOKENS);
  if (tokens.length === 0) throw refuse(`sequence ${index} brings no token`);
  if (!Number.isSafeInteger(position) || position < 0 || pages > pageGroups[0]!.pageCount)
    throw refuse(`sequence ${index} ends at cell ${cells}, outside the pool`);
  if (sequence.pages.length !== pageGroups.length)
    throw refuse(`sequence ${index} has ${sequence.pages.length} tables of pages, and the model ${pageGroups.length} groups`);
  for (const [g, { window, pageCount }] of pageGroups.entries()) {
    const table = sequence.pages[g]!;
    if (table.length < pages) throw refuse(`sequence ${index} has ${table.length} pages for ${cells} cells`);
    for (let page = firstPageSeen(window, position); page < pages; page++)
      if (table[page]! >= pageCount) throw refuse(`sequence ${index} names page ${table[page]}`);
  }
  for (const id of [...tokens, ...(targets ?? [])])
    if (!(Number.isInteger(id) && id >= 0 && id < vocabulary)) throw refuse(`token ${id} is not one of the ${vocabulary} of the model`);
  const rows = rowsOf(sequence);
  if (!(Number.isInteger(rows) && rows >= 0 && rows <= tokens.length)) throw refuse(`sequence ${index} wants ${rows} rows of ${tokens.length} tokens`);
  if (targets !== undefined && (sequence.output !== 'all' || targets.length !== tokens.length))
    throw refuse(`sequence ${index} has ${targets.length} targets for ${tokens.length} tokens with output '${sequence.output}'`);
  if (mask !== undefined && mask.length < maskWords(vocabulary)) throw refuse(`the mask of sequence ${index} is shorter than the vocabulary`);
  if (secondText !== undefined && !(pairs && Number.isInteger(secondText) && secondText >= 0 && secondText <= tokens.length))
    throw refuse(`sequence ${index} has its second text at ${secondText}, which this model or its ${tokens.length} tokens cannot have`);
  if (adapter && !hasAdapter(adapter.slot)) throw refuse(`sequence ${index} names the empty adapter slot ${adapter.slot}`);
  if (adapter && !(adapter.scale >= 0 && adapter.scale <= 2)) throw refuse(`sequence ${index} scales its adapter by ${adapter.scale}; 0 to 2 can be had`);
  for (const wanted of [candidates, rawCandidates])
    if (!(Number.isInteger(wanted) && wanted >= 0 && wanted <= MAX_CANDIDATES))
      throw refuse(`${wanted} candidates wanted, but 0 to ${MAX_CANDIDATES} can be had`);
  return pages;
}

const refuse = (what: string) => new HearthError('invalid_value', `The step was refused: ${what}.`);
