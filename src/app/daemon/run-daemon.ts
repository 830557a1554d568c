import { HearthError } from '../../core/index.ts';
import type { HearthOptions } from '../hearth-options.ts';

export interface DaemonOptions extends HearthOptions {
  /** Called for each request to stop; the second one skips the drain. */
  readonly onStop: (listener: () => void) => void;
}

export interface DaemonStart {
  /** The port that was opened: the configured one, or the one that the system chose for 0. */
  readonly port: number;
  /** `http://127.0.0.1:8000`. */
  readonly url: string;
  /** Settles when the daemon has stopped. */
  readonly stopped: Promise<void>;
}

export async function runDaemon(_options: DaemonOptions): Promise<DaemonStart> {
  throw new HearthError('not_implemented', 'The parts are not wired together yet.');
}
