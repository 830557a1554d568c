import { HearthError } from '../../core/index.ts';
import type { HearthOptions } from '../hearth-options.ts';

export interface DaemonOptions extends HearthOptions {
  /** Called for each request to stop; the second one skips the drain. */
  readonly onStop: (listener: () => void) => void;
}

export interface DaemonStart {
  readonly host: string;
  readonly port: number;
  /** Settles when the daemon has stopped. */
  readonly stopped: Promise<void>;
}

export async function runDaemon(_options: DaemonOptions): Promise<DaemonStart> {
  throw new HearthError('not_implemented', 'The parts are not wired together yet.');
}
