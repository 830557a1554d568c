import { z } from 'zod';
import { endpoints, type ModelObject } from '../../../contract/index.ts';
import { defineCommand, flag } from '../../command.ts';
import { modelReference } from '../../generate/inspect-model.ts';
import { plain } from '../../render/plain.ts';
import { formatAge, formatSize } from '../../render/size.ts';

const options = {
  files: flag('list the files'),
  config: flag('print config.json'),
  recalcHash: flag('pin the content of a workspace as clean'),
};

export const showCommand = defineCommand({
  name: 'show',
  group: 'Models',
  summary: 'Show what is known of a model',
  arguments: [{ name: 'model', schema: z.string().describe('name, part of a name, NAME@REVISION, or a path') }],
  options,
  async run(context, args: { model: string }, given) {
    const { client } = await context.connect();
    const query = { ...(given.files ? { files: 'true' as const } : {}), ...(given.config ? { config: 'true' as const } : {}) };
    const params = { ref: modelReference(context, args.model) };
    const updated = given.recalcHash ? await client.call(endpoints.storeRecalculate, { params }, { signal: context.signal }) : null;
    const shown = await client.call(endpoints.storeShow, { params, query }, { signal: context.signal });
    const data = updated === null ? shown : { ...shown, hash_updated: updated.hash_updated };
    return { data };
  },
  render(data) {
    const { model } = data;
    const rows: [string, string][] = [
      ['Model', `${model.name}${model.hash === null ? '' : `@${model.hash.slice(0, 7)}`}`],
      ['Framework', model.framework],
      ['Type', model.model_type],
      ['Capabilities', model.capabilities.join(', ')],
    ];
    const quantization = quantizationText(model.quantization, data.workspace_metadata?.['quantization']);
    if (quantization !== null) rows.push(['Quantization', quantization]);
    rows.push(['Size', formatSize(model.size_bytes)], ['Modified', formatAge(model.last_modified, Date.now())]);
    if (data.conversion) rows.push(['Conversion', data.conversion.statement]);
    rows.push(['Health', `${model.health}${model.health === 'healthy' && !model.runtime_compatible ? ' (cannot run here)' : ''}`]);
    if (model.reason !== null) rows.push(['Reason', model.reason]);
    const reachable = Object.entries(data.reachable ?? {}).filter(([, verdict]) => verdict.ok);
    if (reachable.length > 0)
      rows.push([
        'Reachable',
        reachable
          .map(([feature, verdict]) => `${feature} (${verdict.engine ?? 'no engine'}${verdict.note === undefined ? '' : `; ${verdict.note}`})`)
          .join(', '),
      ]);
    if (data.trust) {
      const { decision, reason, root_digest: digest, signer, templates } = data.trust;
      const told = [
        decision === 'accepted' ? 'loads' : `${decision === 'warned' ? 'loads with a warning' : 'refused'} (${reason})`,
        ...(signer === null ? [] : [`signed by ${signer.slice(0, 12)}`]),
      ];
      rows.push(['Trust', told.join(', ')]);
      if (digest !== null) rows.push(['Root digest', digest]);
      for (const { file, sha256 } of templates) rows.push(['Template', `${sha256.slice(0, 16)} (${plain(file)})`]);
    }
    const sections = [aligned(rows)];
    if (data.file_details !== undefined) {
      const files = data.file_details.map((file) => [file.path, formatSize(file.size_bytes), file.type] as const);
      const width = Math.max(...files.map(([path]) => path.length), 4);
      const sizes = Math.max(...files.map(([, size]) => size.length), 4);
      sections.push(['Files', ...files.map(([path, size, type]) => `  ${plain(path).padEnd(width)}  ${size.padStart(sizes)}  ${type}`)].join('\n'));
    }
    if (data.config !== undefined && data.config !== null) sections.push(`Config\n${plain(JSON.stringify(data.config, null, 2))}`);
    if (data.metadata !== undefined && data.metadata !== null) {
      const known = Object.entries(data.metadata).filter(([, value]) => value !== null && value !== undefined);
      if (known.length > 0) sections.push(`Metadata\n${aligned(known.map(([name, value]) => [`  ${name}`, String(value)]))}`);
    }
    if (!model.cached) {
      const clean = model.clean === true ? '✓' : model.clean === false ? '✗' : '—';
      const workspace: [string, string][] = [
        ['  Source', model.origin ?? '—'],
        ['  Operation', String(data.workspace_metadata?.['operation'] ?? '—')],
        ['  Created', String(data.workspace_metadata?.['created_at'] ?? '—')],
        ['  Clean', clean],
        ['  Content Hash', model.content_hash ?? '—'],
        ['  Hash Modified', model.hash_modified ?? '—'],
      ];
      sections.push(`Workspace\n${aligned(workspace)}`);
    }
    return sections.join('\n\n');
  },
});

/** What config.json says, and what the conversion was asked for where that differs. */
function quantizationText(is: ModelObject['quantization'], asked: unknown): string | null {
  if (is?.['bits'] === undefined) return null;
  const text = `${is['bits']}-bit (group_size=${is['group_size'] ?? '?'})`;
  if (typeof asked !== 'object' || asked === null || !('bits' in asked)) return text;
  const group = 'group_size' in asked ? asked.group_size : undefined;
  const same = asked.bits === is['bits'] && (group === undefined || group === is['group_size']);
  return same ? text : `${text} (requested: ${asked.bits}-bit${group === undefined ? '' : `, group_size=${group}`})`;
}

function aligned(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${`${name}:`.padEnd(width + 1)} ${plain(value)}`).join('\n');
}
