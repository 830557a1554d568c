import { serveHelper } from '../../core/index.ts';
import { type ChatRenderer, createChatRenderer } from '../text/index.ts';
import type { RenderWork } from './render-work.ts';

let last: { readonly key: string; readonly renderer: ChatRenderer } | undefined;

/** The program of the helper that renders the conversations of models whose engine has no process of ours. */
serveHelper((input) => {
  const { renderer: options, messages, templateArguments, tools } = input as RenderWork;
  const key = JSON.stringify(options);
  if (last?.key !== key) last = { key, renderer: createChatRenderer(options) };
  return last.renderer.render(messages, templateArguments, tools);
});
