import { isHearthError, type SecurityEventSink } from '../core/index.ts';
import type { Store } from '../store/index.ts';

/** Of what was fetched: the bytes or names are not those that were promised. Gates record their own refusals. */
const REFUSED_PULLS = ['checksum_mismatch', 'name_refused'];
const BLOCKED_PUSHES = ['push_refused', 'repo_not_private'];

/** The store, with its risky verbs written into the security log; none of them begins where that cannot be written. */
export function withSecurityEvents(store: Store, { events, source }: { readonly events: SecurityEventSink; readonly source: string }): Store {
  return {
    ...store,
    open(parameters) {
      events.assertWritable();
      return store.open(parameters);
    },
    async pull(parameters) {
      events.assertWritable();
      try {
        const data = await store.pull(parameters);
        const model = { id: data.model ?? parameters.reference, ...(data.commit_hash == null ? {} : { revision: data.commit_hash }) };
        // What was here already did not come from anywhere.
        if (data.download_status !== 'already_exists')
          events.record({
            event: 'model.pull',
            outcome: 'ok',
            model,
            reason: data.download_status,
            details: { source: data.source === 'hub' ? source : data.source, bytes: data.bytes_downloaded },
          });
        return data;
      } catch (error) {
        if (isHearthError(error) && REFUSED_PULLS.includes(error.code))
          events.record({
            event: 'model.refused',
            outcome: 'denied',
            model: { id: parameters.reference },
            reason: error.code,
            details: { source, message: error.message },
          });
        throw error;
      }
    },
    async push(parameters) {
      if (parameters.checkOnly === true || parameters.dryRun === true) return await store.push(parameters);
      events.assertWritable();
      const { repository: id, branch = 'main' } = parameters;
      events.record({ event: 'push.start', outcome: 'ok', model: { id }, details: { branch } });
      try {
        const data = await store.push(parameters);
        const { commit_sha: revision, uploaded_files_count: files, no_changes: unchanged } = data;
        events.record({ event: 'push.ok', outcome: 'ok', model: { id, ...(revision === null ? {} : { revision }) }, details: { branch, files, unchanged } });
        return data;
      } catch (error) {
        if (isHearthError(error) && BLOCKED_PUSHES.includes(error.code))
          events.record({ event: 'push.blocked', outcome: 'denied', model: { id }, reason: error.code, details: { branch, message: error.message } });
        throw error;
      }
    },
  };
}
