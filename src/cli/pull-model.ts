import type { Client } from '../client/index.ts';
import { type EndpointInput, endpoints, type PullData } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import type { Context } from './context.ts';
import { createProgress } from './render/progress.ts';

/** Pulls with progress on stderr, and tells there when a second source was used. */
export async function pullModel(context: Context, client: Client, body: EndpointInput<typeof endpoints.storePull>['body']): Promise<PullData> {
  const progress = createProgress({
    stderr: context.output.stderr,
    bar: context.terminal.stderr,
    columns: context.terminal.columns,
    quiet: context.common.quiet,
    now: () => performance.now(),
  });
  let result: PullData | null = null;
  const notice = (text: string) => {
    progress.end();
    context.output.notice(text);
  };
  try {
    for await (const event of client.stream(endpoints.storePull, { body }, { signal: context.signal })) {
      if (event.kind === 'progress') progress.update(event.doneBytes, event.totalBytes, body.model);
      else if (event.kind === 'notice') notice(event.message);
      else result = event.data;
    }
  } finally {
    progress.end();
  }
  if (result === null) throw new HearthError('pull_operation_failed', `The pull of ${body.model} ended without a result.`);
  if (result.preflight_warning) context.output.notice(`Note: ${result.preflight_warning}`);
  return result;
}
