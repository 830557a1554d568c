import { z } from 'zod';
import type { SigningProblem, VerifyData } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, option } from '../../command.ts';
import { withByteCount } from '../../render/byte-count.ts';
import { plain } from '../../render/plain.ts';
import { formatSize } from '../../render/size.ts';

const MAX_LINES = 20;

export const verifyCommand = defineCommand({
  name: 'verify',
  group: 'Security',
  summary: 'Check that a model is as its signer made it; exits with 1 when it is not',
  arguments: [{ name: 'model', schema: z.string().describe('folder or name of a model') }],
  options: {
    key: option(z.array(z.string()).optional(), 'public key of the signer, a PEM file (default: those that `hearth trust list` shows)', {
      value: '<file...>',
      repeatable: true,
    }),
    root: option(z.array(z.string()).optional(), 'root certificates that count, PEM files', { value: '<file...>', repeatable: true }),
    subject: option(z.string().optional(), 'with --root: whose certificate it must be', { value: '<name>' }),
    identity: option(z.string().optional(), 'keyless: who must have signed, such as a mail address', { value: '<name>' }),
    issuer: option(z.string().optional(), 'keyless: who vouched for the identity, a URL', { value: '<url>' }),
    trustedRoot: option(z.string().optional(), 'keyless: a Sigstore trusted root to use instead of the one that hearth brings', { value: '<file>' }),
    signature: option(z.string().optional(), 'signature file (default: model.sig in the folder)', { value: '<file>' }),
  },
  async run(context, args: { model: string }, given) {
    if ((given.identity === undefined) !== (given.issuer === undefined)) throw new HearthError('usage', '--identity and --issuer go together.');
    if (given.subject !== undefined && given.root === undefined) throw new HearthError('usage', '--subject goes with --root.');
    const { modelSigning } = await import('../../../app/index.ts');
    const { config } = await context.loadConfig();
    const { verifyModel } = await modelSigning();
    const optional = Object.fromEntries(
      (['subject', 'identity', 'issuer', 'trustedRoot', 'signature'] as const).flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])),
    );
    const data = await withByteCount(context, 'Hashing', async (onProgress) =>
      verifyModel(
        { config, env: context.env, home: context.home, userHome: context.userHome, cwd: context.cwd },
        { model: args.model, keys: given.key ?? [], roots: given.root ?? [], signal: context.signal, onProgress, ...optional },
      ),
    );
    return { data, ...(data.ok ? {} : { exitCode: 1 }) };
  },
  render: (data) => lines(data).map(plain).join('\n'),
});

function lines(data: VerifyData): string[] {
  const warnings = data.warnings.map(({ message }) => `Note: ${message}`);
  if (data.ok) return [`Verified: ${data.files} ${data.files === 1 ? 'file' : 'files'} (${formatSize(data.bytes)}) as signed.`, ...signedBy(data), ...warnings];
  const shown = data.problems.slice(0, MAX_LINES).map(problemLine);
  const more = data.problems.length - shown.length;
  return ['NOT verified.', ...shown, ...(more > 0 ? [`and ${more} more (--json lists them)`] : []), ...signedBy(data), ...advice(data), ...warnings];
}

function signedBy({ signer, rootDigest, ok }: VerifyData): string[] {
  if (signer === null) return [];
  const who = [signer.subject, signer.key === null || signer.key === '' ? null : `key ${signer.key}`].filter((part) => part !== null).join(', ');
  return [...(who === '' ? [] : [`${ok ? 'Signed by' : 'The signature says'}: ${who}`]), ...(rootDigest === null ? [] : [`Content: ${rootDigest}`])];
}

const problemLine = ({ code, message, expected, actual }: SigningProblem): string => {
  const digests = expected === undefined || actual === undefined ? '' : ` Expected ${shortened(expected)}, found ${shortened(actual)}.`;
  return `- ${message}${digests} [${code}]`;
};

const shortened = (value: string): string => (/^[0-9a-f]{40,}$/.test(value) ? `${value.slice(0, 12)}…` : value);

function advice({ problems, model }: VerifyData): string[] {
  const codes = new Set(problems.map(({ code }) => code));
  if (codes.has('sig_missing')) {
    return [
      `Most models of hubs have none: hearth knows them by the content that it pulled. \`hearth trust explain ${model}\` tells what it knows of this one.`,
    ];
  }
  if (codes.has('sig_key_unknown'))
    return ["If you have the signer's public key from a place that you trust: --key FILE, or `hearth keys import FILE` to trust it from now on."];
  if ([...codes].some((code) => code.startsWith('file_')))
    return [`Fetch it again from its signer. If you changed it yourself: \`hearth sign ${model} --key ID\` signs it as it is now.`];
  return [];
}
