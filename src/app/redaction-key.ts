import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { keyRedaction } from '../core/index.ts';
import { createInstallKey } from '../security/index.ts';

/**
 * Fingerprints of stripped secrets are made with a key that comes from the installation's own, so that those of one file can be found in another.
 * A process that is no daemon makes no key for that; then its fingerprints are its own.
 */
export async function keyRedactionOf(home: string, daemon: boolean): Promise<void> {
  const install = createInstallKey(join(home, 'trust'));
  // A key that cannot be read is the trust store's to tell.
  const secret = await (daemon ? install.obtain() : Promise.resolve().then(() => install.read())).catch(() => null);
  if (secret !== null) keyRedaction(createHmac('sha256', secret).update('hearth redaction').digest());
}
