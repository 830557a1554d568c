/**
 * The `data:` values of a server-sent event stream, one string per event; several data lines are joined by a newline.
 * Takes any packet split, CR, LF and CRLF, and a byte order mark; comments and other fields are skipped (WHATWG HTML §9.2).
 */
export async function* readServerSentEvents(body: ReadableStream<Uint8Array>, maxEventChars = 4 * 1024 * 1024): AsyncGenerator<string, void> {
  const decoder = new TextDecoder('utf-8');
  const reader = body.getReader();
  let buffer = '';
  let data: string[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      buffer += done ? decoder.decode() : decoder.decode(value, { stream: true });
      let start = 0;
      for (let end = lineEnd(buffer, start, done); end; end = lineEnd(buffer, start, done)) {
        const line = buffer.slice(start, end.index);
        start = end.next;
        if (line === '') {
          if (data.length > 0) yield data.join('\n');
          data = [];
          size = 0;
        } else if (line.startsWith('data:')) {
          data.push(line.slice(line[5] === ' ' ? 6 : 5));
          size += line.length;
        }
      }
      buffer = buffer.slice(start);
      if (buffer.length + size > maxEventChars) throw new RangeError('An event of the stream is larger than this client takes.');
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

function lineEnd(text: string, start: number, last: boolean): { index: number; next: number } | null {
  for (let index = start; index < text.length; index += 1) {
    const char = text[index];
    if (char === '\n') return { index, next: index + 1 };
    if (char !== '\r') continue;
    // A CR at the end of a packet may be the first half of CRLF.
    if (index + 1 === text.length && !last) return null;
    return { index, next: text[index + 1] === '\n' ? index + 2 : index + 1 };
  }
  return null;
}
