import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { SignData } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { readSecret } from '../../ask-secret.ts';
import { defineCommand, option } from '../../command.ts';
import type { Context } from '../../context.ts';
import { withByteCount } from '../../render/byte-count.ts';
import { plain } from '../../render/plain.ts';
import { formatSize } from '../../render/size.ts';

export const signCommand = defineCommand({
  name: 'sign',
  group: 'Security',
  summary: 'Sign a model, so that others can tell that it is as you made it',
  arguments: [{ name: 'model', schema: z.string().describe('folder or name of a model') }],
  options: {
    key: option(z.string().optional(), 'private key: a PEM file, or an id of `hearth keys list`', { value: '<id|file>' }),
    cert: option(z.string().optional(), 'certificates of the key in one PEM file, its own first', { value: '<file>' }),
    pkcs11: option(z.string().optional(), 'key on a token: pkcs11:token=T;object=K?module-path=/lib/p11.so', { value: '<uri>' }),
    output: option(z.string().optional(), 'signature file (default: model.sig in the folder)', { value: '<file>' }),
    ignore: option(z.array(z.string()).optional(), 'paths to leave out; none that an engine reads', { value: '<path...>', repeatable: true }),
    passphraseFd: option(z.coerce.number().int().min(0).optional(), 'descriptor to read the passphrase or PIN from', { value: '<n>' }),
    passphraseEnv: option(z.string().optional(), 'environment variable that holds the passphrase or PIN', { value: '<name>' }),
  },
  async run(context, args: { model: string }, given) {
    const key = keyOf(context, given);
    if (key.kind === 'token' && given.cert !== undefined) throw new HearthError('invalid_argument', '--cert goes with --key.');
    const { modelSigning } = await import('../../../app/index.ts');
    const { config } = await context.loadConfig();
    const { signModel } = await modelSigning();
    const place = { fd: given.passphraseFd, env: given.passphraseEnv };
    const data = await withByteCount(context, 'Hashing', async (onProgress) =>
      signModel(
        { config, env: context.env, home: context.home, userHome: context.userHome, cwd: context.cwd },
        {
          model: args.model,
          key,
          ignore: given.ignore ?? [],
          secret: () => readSecret(context, place, key.kind === 'token' ? 'PIN of the token' : 'passphrase of the key'),
          signal: context.signal,
          onProgress,
          ...(given.cert === undefined ? {} : { certificates: given.cert }),
          ...(given.output === undefined ? {} : { output: given.output }),
        },
      ),
    );
    return { data };
  },
  render: (data) => lines(data).map(plain).join('\n'),
});

function lines(data: SignData): string[] {
  return [
    `Signed ${data.files} ${data.files === 1 ? 'file' : 'files'} (${formatSize(data.bytes)}): ${data.signature}`,
    `Content ${data.rootDigest}`,
    `Key     ${data.key}`,
    'Give the public key to those who shall verify it:',
    data.publicKey.trimEnd(),
  ];
}

function keyOf(context: Context, given: { readonly key?: string | undefined; readonly pkcs11?: string | undefined }) {
  const { key, pkcs11 } = given;
  if ((key === undefined) === (pkcs11 === undefined)) {
    throw new HearthError('usage', 'Name the key to sign with: --key FILE, --key ID (`hearth keys new` makes one), or --pkcs11 URI.');
  }
  if (pkcs11 !== undefined) return { kind: 'token', uri: pkcs11 } as const;
  const isId = /^[0-9a-f]{8,64}$/.test(key!) && !existsSync(resolve(context.cwd, key!));
  return isId ? ({ kind: 'id', id: key! } as const) : ({ kind: 'file', path: key! } as const);
}
