import { describe, expect, it } from 'vitest';
import { hearthHome, homeToTilde, readHubEnvironment } from './index.ts';

describe('hearth home', () => {
  it('is HEARTH_HOME with ~ expanded, else .hearth; a relative one is refused', () => {
    expect(hearthHome({}, '/home/ada')).toBe('/home/ada/.hearth');
    expect(hearthHome({ HEARTH_HOME: '' }, '/home/ada')).toBe('/home/ada/.hearth');
    expect(hearthHome({ HEARTH_HOME: '~/h' }, '/home/ada')).toBe('/home/ada/h');
    expect(() => hearthHome({ HEARTH_HOME: 'h' }, '/home/ada')).toThrow(expect.objectContaining({ code: 'config_invalid' }));
    expect(homeToTilde('/home/ada/x', '/home/ada')).toBe('~/x');
    expect(homeToTilde('/home/adam/x', '/home/ada')).toBe('/home/adam/x');
  });
});

describe('hub environment', () => {
  it('finds the cache by HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, else below the home', () => {
    expect(readHubEnvironment({}, '/h').cacheDirectory).toBe('/h/.cache/huggingface/hub');
    expect(readHubEnvironment({ XDG_CACHE_HOME: '/x' }, '/h').cacheDirectory).toBe('/x/huggingface/hub');
    expect(readHubEnvironment({ HF_HOME: '/hf' }, '/h')).toMatchObject({ cacheDirectory: '/hf/hub', tokenFile: '/hf/token' });
    expect(readHubEnvironment({ HF_HOME: '/hf', HF_HUB_CACHE: '~/c' }, '/h').cacheDirectory).toBe('/h/c');
  });

  it('reads token, offline and timeout', () => {
    const read = readHubEnvironment({ HUGGING_FACE_HUB_TOKEN: 'old', HF_HUB_OFFLINE: '1', HF_HUB_DOWNLOAD_TIMEOUT: '5' }, '/h');
    expect(read).toMatchObject({ token: 'old', offline: true, readTimeoutMs: 5000 });
    expect(readHubEnvironment({ HF_TOKEN: 'new', HUGGING_FACE_HUB_TOKEN: 'old', HF_HUB_DOWNLOAD_TIMEOUT: 'x' }, '/h')).toMatchObject({
      token: 'new',
      offline: false,
      readTimeoutMs: 60_000,
    });
  });
});
