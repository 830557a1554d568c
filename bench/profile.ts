// Where the compute threads spend their time, by function (V8's sampling profiler, WebAssembly functions by their names in the source):
//   node bench/profile.ts DIR [--prompt 0] [--decode 200] [--streams 1] [--depth 4] [--activations mixed] [--folded FILE]
// --folded writes stacks as `a;b;c microseconds`, the input of flame-graph viewers. Run it on a quiet machine.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Missing in the types of this TypeScript. */
const { customSections } = WebAssembly.Module as unknown as { customSections(module: WebAssembly.Module, name: string): ArrayBuffer[] };
const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'hearth-profile-'));

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
  readonly children?: readonly number[];
}
interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Function names of a build that keeps them: the same passes give the same functions in the same order. */
function kernelNames(): Map<number, string> {
  const output = join(folder, 'named.wasm');
  execFileSync(process.execPath, [join(root, 'tools/build-kernels.mjs'), '--named', output], { stdio: 'inherit' });
  const [section] = customSections(new WebAssembly.Module(readFileSync(output)), 'name');
  return section === undefined ? new Map() : readFunctionNames(new Uint8Array(section));
}

/** The second subsection of a name section: (index, name) pairs (WebAssembly specification, appendix "Name Section"). */
function readFunctionNames(bytes: Uint8Array): Map<number, string> {
  const names = new Map<number, string>();
  let at = 0;
  const leb = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const kind = bytes[at++]!;
    const end = leb() + at;
    if (kind === 1)
      for (let count = leb(); count > 0; count--) {
        const index = leb();
        const length = leb();
        names.set(index, Buffer.from(bytes.subarray(at, at + length)).toString());
        at += length;
      }
    at = end;
  }
  return names;
}

const options = process.argv.slice(2);
const foldedAt = options.indexOf('--folded');
const foldedFile = foldedAt < 0 ? null : options.splice(foldedAt, 2)[1]!;
try {
  const names = kernelNames();
  const label = ({ functionName, url }: ProfileNode['callFrame']): string => {
    const wasm = /^wasm-function\[(\d+)\]$/.exec(functionName);
    if (wasm && url.startsWith('wasm')) return (names.get(Number(wasm[1])) ?? functionName).replace(/^src\/ember\//, '');
    return functionName === '' ? '(anonymous)' : functionName;
  };
  const run = [`--cpu-prof`, `--cpu-prof-dir=${folder}`, join(root, 'bench/ember.ts'), ...options];
  execFileSync(process.execPath, run, { stdio: 'inherit' });
  const self = new Map<string, number>();
  const folded = new Map<string, number>();
  let total = 0;
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
    const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(folder, file), 'utf8')) as Profile;
    const stacks = new Map<number, string>();
    const walk = (node: ProfileNode, above: string): void => {
      const stack = above === '' ? label(node.callFrame) : `${above};${label(node.callFrame)}`;
      stacks.set(node.id, stack);
      for (const child of node.children ?? []) walk(nodes.find((n) => n.id === child)!, stack);
    };
    walk(nodes[0]!, '');
    // Compute threads alone: the control thread has no forward pass.
    if (!Array.from(stacks.values()).some((stack) => stack.includes('kernels/'))) continue;
    samples.forEach((id, i) => {
      const stack = stacks.get(id)!;
      if (!stack.includes('serve')) return; // loading
      const time = timeDeltas[i]!;
      const leaf = stack.slice(stack.lastIndexOf(';') + 1);
      self.set(leaf, (self.get(leaf) ?? 0) + time);
      folded.set(stack, (folded.get(stack) ?? 0) + time);
      total += time;
    });
  }
  for (const [name, time] of [...self].sort((a, b) => b[1] - a[1]).slice(0, 24)) console.log(`${((100 * time) / total).toFixed(1).padStart(6)} %  ${name}`);
  if (foldedFile !== null) writeFileSync(foldedFile, Array.from(folded, ([stack, time]) => `${stack} ${time}\n`).join(''));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
