/** Keeps the last lines of a process's output, each cut to a bearable length, and passes every line on. */
export interface LastLines {
  push(text: string): void;
  end(): void;
  readonly lines: readonly string[];
}

const MAX_LINE = 2_000;

export function createLastLines(count: number, onLine: (line: string) => void): LastLines {
  const lines: string[] = [];
  let open = '';
  const add = (line: string): void => {
    const cut = line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)}…` : line;
    lines.push(cut);
    if (lines.length > count) lines.shift();
    onLine(cut);
  };
  return {
    lines,
    push(text) {
      const parts = (open + text).split('\n');
      open = parts.pop() ?? '';
      for (const part of parts) add(part.replace(/\r$/, ''));
      if (open.length > MAX_LINE) {
        add(open);
        open = '';
      }
    },
    end() {
      if (open !== '') add(open);
      open = '';
    },
  };
}
