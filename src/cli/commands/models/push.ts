import { z } from 'zod';
import { endpoints, type PushData } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, flag, option } from '../../command.ts';
import { plain } from '../../render/plain.ts';
import { createProgress } from '../../render/progress.ts';
import { formatSize } from '../../render/size.ts';

const consent = z.literal(true, { error: 'is required: hearth pushes to private repositories only' });

export const pushCommand = defineCommand({
  name: 'push',
  group: 'Models',
  summary: 'Send a workspace to a private repository of the hub',
  arguments: [
    { name: 'directory', schema: z.string().describe('folder, the beginning of its path, or the name of a workspace') },
    { name: 'repository', schema: z.string().describe('org/model') },
  ],
  options: {
    private: option(consent, 'your consent: the repository is private, or nothing is sent', {}),
    create: flag('make the repository, private, when it is missing'),
    branch: option(z.string().default('main'), 'branch to commit to; made when it is missing', { value: '<name>' }),
    commit: option(z.string().min(1).default('hearth push'), 'message of the commit', { value: '<text>' }),
    delete: flag('delete what is on the hub and not in the folder'),
    checkOnly: flag('look at the folder only: no network, no token'),
    dryRun: flag('compare with the hub, and send nothing'),
    verbose: flag('list every file'),
  },
  async run(context, args: { directory: string; repository: string }, given) {
    if (given.checkOnly && given.dryRun) throw new HearthError('invalid_argument', '--check-only asks nobody and --dry-run asks the hub; give one of them.');
    // The token is the variable of this command, which a daemon does not have.
    const { client } = await context.connectHere();
    const body = {
      directory: args.directory,
      repository: args.repository,
      private: true as const,
      branch: given.branch,
      message: given.commit,
      ...(given.create ? { create: true } : {}),
      ...(given.delete ? { delete: true } : {}),
      ...(given.checkOnly ? { checkOnly: true } : {}),
      ...(given.dryRun ? { dryRun: true } : {}),
      ...(given.verbose ? { verbose: true } : {}),
    };
    const { stderr } = context.output;
    const facts = { stderr, bar: context.terminal.stderr, columns: context.terminal.columns, quiet: context.common.quiet, now: () => performance.now() };
    let phase = '';
    let progress = createProgress(facts);
    let data: PushData | null = null;
    try {
      for await (const event of client.stream(endpoints.storePush, { body }, { signal: context.signal })) {
        if (event.kind === 'progress') {
          if (event.phase !== phase) {
            progress.end();
            progress = createProgress(facts);
            phase = event.phase;
          }
          progress.update(event.doneBytes, event.totalBytes, event.phase === 'check' ? 'Reading' : args.repository);
        } else if (event.kind === 'notice') {
          progress.end();
          context.output.notice(plain(event.message));
        } else data = event.data;
      }
    } finally {
      progress.end();
    }
    if (data === null) throw new HearthError('push_operation_failed', `The push to ${args.repository} ended without a result.`);
    return { data };
  },
  render(data, _context, given) {
    const lines = given.checkOnly ? checkLines(data) : given.dryRun ? dryRunLines(data) : pushLines(data);
    return [...lines, ...(given.checkOnly ? [] : anomalyLines(data))].map(plain).join('\n');
  },
});

function pushLines(data: PushData): string[] {
  if (data.no_changes) return [data.message, ...keptLine(data)];
  const { added = 0, modified = 0, deleted = 0 } = data.change_summary ?? {};
  const made = data.created_repo ? ' (new, private)' : data.created_branch ? ' (new branch)' : '';
  return [
    `Pushed ${data.uploaded_files_count} files (${formatSize(data.uploaded_bytes ?? 0)}) to ${data.repo_id}, ${data.branch}${made}: ${added} added, ${modified} changed, ${deleted} deleted.`,
    ...keptLine(data),
    data.commit_url ?? data.repo_url,
  ];
}

function dryRunLines(data: PushData): string[] {
  const makes = data.would_create_repo
    ? [`It would make ${data.repo_id}, private.`]
    : data.would_create_branch
      ? [`It would make the branch ${data.branch}.`]
      : [];
  const listed = [
    ...(data.added_files ?? []).map((path) => `  + ${path}`),
    ...(data.modified_files ?? []).map((path) => `  ~ ${path}`),
    ...(data.deleted_files ?? []).map((path) => `  - ${path}`),
  ];
  const { added = 0, modified = 0, deleted = 0 } = data.dry_run_summary ?? {};
  const more = added + modified + deleted - listed.length;
  return [data.message, ...makes, ...listed, ...(more > 0 ? [`  and ${more} more`] : []), ...keptLine(data)];
}

const keptLine = (data: PushData): string[] => {
  const kept = data.remote_only_files ?? [];
  return kept.length === 0
    ? []
    : [`${kept.length} on the hub and not in the folder (--delete removes them): ${kept.slice(0, 5).join(', ')}${kept.length > 5 ? ', …' : ''}`];
};

const anomalyLines = (data: PushData): string[] =>
  (data.workspace_health?.anomalies ?? []).map(({ severity, message }) => `${severity === 'error' ? 'Problem' : 'Note'}: ${message}`);

function checkLines(data: PushData): string[] {
  const health = data.workspace_health;
  if (health === undefined) return [data.message];
  const refused = data.refused ?? [];
  return [
    `${health.files_count} files, ${formatSize(health.total_bytes)}; weights: ${health.weights.count}${health.weights.formats.length > 0 ? ` (${health.weights.formats.join(', ')})` : ''}.`,
    ...anomalyLines(data),
    ...refused.map(({ path, message }) => `Refused: ${path}: ${message}`),
    health.healthy && refused.length === 0 ? 'Ready to push. Nothing was sent.' : 'Not ready to push. Nothing was sent.',
  ];
}
