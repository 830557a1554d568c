import type { Activation, Kernels, PlainType, ScaleType } from '../kernel-interface.ts';
import { checkOthers, type ExchangeBuffers, LINE, PRODUCT_WORDS, WORD, wakeSleepers } from './exchange.ts';

/** Where another rank works, as this thread sees it: kernels over its memory, with scratch of their own. */
export interface Neighbour {
  readonly rank: number;
  readonly kernels: Kernels;
}

/** Products of a matrix and the rank's activations, all rows: see kernel-interface.ts. Ranks that wait at a barrier take pieces of them. */
export interface SharedWork {
  matmul(
    activation: Activation,
    bits: number,
    group: number,
    scaleType: ScaleType,
    w: number,
    scales: number,
    biases: number,
    prepared: number,
    y: number,
    rows: number,
    k: number,
    tokens: number,
  ): void;
  matmulPlain(type: PlainType, w: number, x: number, y: number, rows: number, k: number, tokens: number): void;
  /** Does one piece of another rank's product; false where there is none. */
  help(): boolean;
  /** From now on products are shared with these. */
  join(neighbours: readonly Neighbour[]): void;
}

/** Words of one rank's product: the ticket, how many pieces others have done, and what it is, each in a cache line of its own. */
const TICKET = 0;
const HELPED = LINE;
const WHAT = 2 * LINE;
/** In `what`. */
const KIND = 0;
const BITS = 1;
const GROUP = 2;
const SCALE_TYPE = 3;
const W = 4;
const SCALES = 5;
const BIASES = 6;
const X = 7;
const Y = 8;
const ROWS = 9;
const K = 10;
const TOKENS = 11;
const STEP = 12;
const PIECES = 13;
/** Beside the activations of quantised products. */
const PLAIN = 255;

/** Multiply-adds that the smallest pieces have at least: 8 to 15 µs, ten times what a piece costs beside its rows. */
const LEAST_PIECE = 2 ** 19;
/** Rows that the kernels take together; a border elsewhere would change how they go about the rest. */
const ROW_STEP = 32;
/** Pieces get smaller, since each begins with a wait for memory: the first half of the rows, then a quarter, … */
const MOST_PIECES = 6;
const BORDERS = 2 ** (MOST_PIECES - 1);
/** Multiply-adds that are worth a system call and the time that a sleeper takes to wake. */
const WORTH_WAKING = 2 ** 22;
/** A ticket is a product's number and the next piece that nobody has, in 8 bits. */
const NEXT = 255;
const CLOSED = 255;
const SPINS = 512;

/**
 * Splits of a matrix over ranks are fixed, and cores are not equally fast from one moment to the next. So a rank that has arrived at a barrier takes
 * pieces of the product that a late one is at, in that one's memory: which thread computes a row makes no difference to its bits.
 *
 * The ticket makes that safe. A piece is taken by changing the ticket from what was read before the words of `what` were: so they belong to it. A
 * product whose pieces are all taken is closed before `what` is written again. Its owner goes on when all pieces are done, and can be one barrier
 * ahead of nobody, so that the number in the ticket never comes again while a rank looks at it.
 */
export function createSharedWork(own: { rank: number; kernels: Kernels }, exchange: Pick<ExchangeBuffers, 'control' | 'products'>): SharedWork {
  const control = new Int32Array(exchange.control);
  const words = new Int32Array(exchange.products);
  const wordsOf = (rank: number) => ({ at: rank * PRODUCT_WORDS, what: words.subarray(rank * PRODUCT_WORDS + WHAT, (rank + 1) * PRODUCT_WORDS) });
  const { at: base, what } = wordsOf(own.rank);
  let others: readonly (Neighbour & { at: number; what: Int32Array })[] = [];
  let product = 0;
  Atomics.store(words, base + TICKET, CLOSED);

  /** What is common to both kinds of products. */
  function run(type: number, w: number, x: number, y: number, rows: number, k: number, tokens: number): void {
    what[SCALE_TYPE] = type;
    what[W] = w;
    what[X] = x;
    what[Y] = y;
    what[ROWS] = rows;
    what[K] = k;
    what[TOKENS] = tokens;
    what[STEP] = Math.ceil(rows / (BORDERS * ROW_STEP)) * ROW_STEP;
    const shared = others.length > 0 && Atomics.load(control, WORD.limit) === 0;
    const pieces = shared ? Math.min(MOST_PIECES, 31 - Math.clz32((rows * k * tokens) / LEAST_PIECE)) : 0;
    what[PIECES] = Math.max(1, pieces);
    if (pieces <= 1) runPiece(own.kernels, what, 0);
    else share(pieces, rows * k * tokens >= WORTH_WAKING);
  }

  function share(pieces: number, wake: boolean): void {
    const helpedBefore = Atomics.load(words, base + HELPED);
    product = (product + 1) & 0xffffff;
    Atomics.store(words, base + TICKET, product << 8);
    if (wake) wakeSleepers(control);
    let done = 0;
    for (let piece = Atomics.add(words, base + TICKET, 1) & NEXT; piece < pieces; piece = Atomics.add(words, base + TICKET, 1) & NEXT) {
      runPiece(own.kernels, what, piece);
      done++;
    }
    Atomics.store(words, base + TICKET, (product << 8) | CLOSED);
    waitForHelp((helpedBefore + pieces - done) | 0);
  }

  function waitForHelp(wanted: number): void {
    for (let spin = 0; ; spin++) {
      const helped = Atomics.load(words, base + HELPED);
      if (helped === wanted) return;
      if (spin < SPINS) Atomics.pause();
      else {
        checkOthers(control);
        Atomics.wait(words, base + HELPED, helped, 200);
      }
    }
  }

  return {
    matmul(activation, bits, group, scaleType, w, scales, biases, prepared, y, rows, k, tokens) {
      what[KIND] = activation;
      what[BITS] = bits;
      what[GROUP] = group;
      what[SCALES] = scales;
      what[BIASES] = biases;
      run(scaleType, w, prepared, y, rows, k, tokens);
    },
    matmulPlain(type, w, x, y, rows, k, tokens) {
      what[KIND] = PLAIN;
      run(type, w, x, y, rows, k, tokens);
    },
    help() {
      for (const { kernels, at, what: theirs } of others) {
        const ticket = Atomics.load(words, at + TICKET);
        const piece = ticket & NEXT;
        if (piece === CLOSED || piece >= theirs[PIECES]!) continue;
        if (Atomics.compareExchange(words, at + TICKET, ticket, ticket + 1) !== ticket) continue;
        runPiece(kernels, theirs, piece);
        Atomics.add(words, at + HELPED, 1);
        Atomics.notify(words, at + HELPED);
        return true;
      }
      return false;
    },
    join(neighbours) {
      others = neighbours.map((neighbour) => ({ ...neighbour, ...wordsOf(neighbour.rank) }));
    },
  };
}

function runPiece(kernels: Kernels, what: Int32Array, piece: number): void {
  const rows = what[ROWS]!;
  const step = what[STEP]!;
  const from = Math.min(rows, step * (BORDERS - (BORDERS >> piece)));
  const to = piece === what[PIECES]! - 1 ? rows : Math.min(rows, step * (BORDERS - (BORDERS >> (piece + 1))));
  if (what[KIND] === PLAIN) kernels.matmulPlain(what[SCALE_TYPE] as PlainType, what[W]!, what[X]!, what[Y]!, rows, from, to, what[K]!, what[TOKENS]!);
  else
    kernels.matmul(
      what[KIND] as Activation,
      what[BITS]!,
      what[GROUP]!,
      what[SCALE_TYPE] as ScaleType,
      what[W]!,
      what[SCALES]!,
      what[BIASES]!,
      what[X]!,
      what[Y]!,
      rows,
      from,
      to,
      what[K]!,
      what[TOKENS]!,
    );
}
