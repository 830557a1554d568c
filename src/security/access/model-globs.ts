/** Whether one of the globs names the model: `*` stands for any part, slashes too; no globs name all models. */
export function modelAllowed(globs: readonly string[], id: string): boolean {
  return globs.length === 0 || globs.some((glob) => matches(glob, id));
}

/** Linear in the length of both: names come from requests. */
function matches(glob: string, text: string): boolean {
  const parts = glob.split('*');
  const last = parts.pop()!;
  if (parts.length === 0) return text === last;
  const first = parts.shift()!;
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last)) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
