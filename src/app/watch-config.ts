import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { ConfigReloads } from '../api/index.ts';
import { findConfigFile } from '../config/index.ts';
import type { Logger } from '../core/index.ts';

export interface ConfigWatchOptions {
  /** The hearth home, which has to be there. */
  readonly home: string;
  readonly reloads: ConfigReloads;
  readonly logger: Logger;
  /** Quiet time after a change, in which an editor may write on; 200 ms. */
  readonly quietMs?: number;
}

const NAMES = new Set(['config.yaml', 'config.json']);

/** Reloads the configuration when its file gets another content, whatever replaces or removes it. */
export function watchConfig({ home, reloads, logger, quietMs = 200 }: ConfigWatchOptions): Disposable {
  let timer: NodeJS.Timeout | undefined;
  let known = contentOf(home);
  const look = () => {
    const now = contentOf(home);
    if (now === known) return;
    known = now;
    // A refused one is told by the reload itself.
    void reloads.reload('file').catch(() => {});
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(look, quietMs).unref();
  };
  let watcher: FSWatcher | undefined;
  // Where the system has no more watches to give, a look now and then does it.
  const poll = () => setInterval(look, 2000).unref();
  let polling: NodeJS.Timeout | undefined;
  try {
    watcher = watch(home, { persistent: false }, (_, name) => {
      if (name === null || NAMES.has(basename(name))) soon();
    });
    watcher.on('error', () => {
      watcher?.close();
      polling ??= poll();
    });
  } catch (error) {
    logger.debug('The configuration is looked at every two seconds: its directory cannot be watched.', { error, directory: dirname(home) });
    polling = poll();
  }
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      clearInterval(polling);
      watcher?.close();
    },
  };
}

/** null without a file; a word where it cannot be read, which the reload then tells properly. */
function contentOf(home: string): string | null {
  try {
    return findConfigFile(home)?.text ?? null;
  } catch {
    return 'unreadable';
  }
}
