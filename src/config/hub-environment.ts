import { join } from 'node:path';
import { expandTilde } from './home.ts';

/** What the variables of the Hugging Face tools say (docs/spec/store.md §1). They are no configuration keys. */
export interface HubEnvironment {
  /** Directory that holds `models--*`. */
  readonly cacheDirectory: string;
  /** Token of the environment, and the file that pull and clone read when there is none. */
  readonly token: string | undefined;
  readonly tokenFile: string;
  readonly offline: boolean;
  readonly readTimeoutMs: number;
  readonly progressBars: boolean;
}

export function readHubEnvironment(env: Readonly<Record<string, string | undefined>>, userHome: string): HubEnvironment {
  const set = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  const base = set('XDG_CACHE_HOME') ?? join(userHome, '.cache');
  const hubHome = expandTilde(set('HF_HOME') ?? join(base, 'huggingface'), userHome);
  const timeoutS = Number(set('HF_HUB_DOWNLOAD_TIMEOUT') ?? 60);
  return {
    cacheDirectory: expandTilde(set('HF_HUB_CACHE') ?? join(hubHome, 'hub'), userHome),
    token: set('HF_TOKEN') ?? set('HUGGINGFACE_HUB_TOKEN') ?? set('HUGGING_FACE_HUB_TOKEN'),
    tokenFile: expandTilde(set('HF_TOKEN_PATH') ?? join(hubHome, 'token'), userHome),
    offline: isTrue(set('HF_HUB_OFFLINE')),
    readTimeoutMs: (Number.isFinite(timeoutS) && timeoutS > 0 ? timeoutS : 60) * 1000,
    progressBars: !isTrue(set('HF_HUB_DISABLE_PROGRESS_BARS')),
  };
}

const isTrue = (value: string | undefined): boolean => value !== undefined && /^(1|true|yes|on)$/i.test(value);
