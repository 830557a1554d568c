import type { HashedFile, SignatureProblem } from '../signing/index.ts';

/** The content that one model may have, by revision; newest last. */
export interface ContentRecord {
  readonly firstSeen: number;
  readonly lastAccepted: number;
  /** Revision that was accepted last; null where there are none. */
  readonly current: string | null;
  readonly accepted: readonly AcceptedContent[];
}

export interface AcceptedContent {
  readonly revision: string | null;
  readonly rootDigest: string;
  /** SHA-256 by path. */
  readonly files: Readonly<Record<string, string>>;
  readonly at: number;
}

export interface ContentQuestion {
  readonly record: ContentRecord | null;
  readonly revision: string | null;
  readonly files: readonly HashedFile[];
  readonly rootDigest: string;
  /** Only some files of the model are asked for: what is missing of the others is no matter. */
  readonly partial: boolean;
  readonly revisionNamed: boolean;
  /** A signature vouches for every byte: another content of one id is another version of it. */
  readonly signed: boolean;
}

export interface ContentAnswer {
  readonly problems: readonly SignatureProblem[];
  readonly firstUse: boolean;
}

const KEPT = 20;

/** Whether a content is the one that was pulled, accepted, or first used (docs/spec/security.md §1.3). */
export function judgeContent(question: ContentQuestion): ContentAnswer {
  const { record, revision, signed, rootDigest } = question;
  if (record === null) return { problems: [], firstUse: true };
  const known = record.accepted.find((content) => content.revision === revision);
  const rollback = (message: string, expected: string | null): ContentAnswer => ({
    problems: [{ code: 'sig_rollback', message, ...(expected === null ? {} : { expected }), actual: revision ?? rootDigest }],
    firstUse: false,
  });
  if (known === undefined) return rollback('the revision is not one that hearth pulled or that was accepted', record.current);
  if (signed && known.rootDigest !== rootDigest) return rollback('the signed content is not the one that was accepted', known.rootDigest);
  const changed = signed ? [] : differences(known.files, question);
  if (changed === 'new part') return { problems: [], firstUse: true };
  if (changed.length > 0) return { problems: changed, firstUse: false };
  if (known.revision !== record.current && !question.revisionNamed) return rollback('a newer revision was accepted since', record.current);
  return { problems: [], firstUse: false };
}

function differences(known: AcceptedContent['files'], { files, partial }: ContentQuestion): SignatureProblem[] | 'new part' {
  if (partial && files.every(({ path }) => known[path] === undefined)) return 'new part';
  const here = new Map(files.map((file) => [file.path, file.sha256]));
  const problems: SignatureProblem[] = [];
  for (const [path, expected] of Object.entries(known)) {
    const actual = here.get(path);
    if (actual === undefined) {
      if (!partial) problems.push({ code: 'file_missing', message: `${path} is missing`, file: path, expected });
    } else if (actual !== expected) problems.push({ code: 'file_changed', message: `${path} is not the file that was accepted`, file: path, expected, actual });
  }
  for (const { path, sha256 } of files)
    if (known[path] === undefined)
      problems.push({ code: 'file_extra', message: `${path} was not there when the model was accepted`, file: path, actual: sha256 });
  return problems;
}

/** With this content as the accepted one of its revision; `merge` keeps files of the same revision that are not named now. */
export function withAccepted(record: ContentRecord | null, content: AcceptedContent, merge: boolean): ContentRecord {
  const before = record?.accepted.find(({ revision }) => revision === content.revision);
  const files = merge ? { ...before?.files, ...content.files } : content.files;
  return {
    firstSeen: record?.firstSeen ?? content.at,
    lastAccepted: content.at,
    current: content.revision,
    accepted: [...(record?.accepted ?? []).filter(({ revision }) => revision !== content.revision), { ...content, files }].slice(-KEPT),
  };
}
