import { HearthError } from '../../core/index.ts';
import { jsonBody } from './json-body.ts';
import { hubSays, type PushHub } from './push-hub.ts';
import { apiPath, readRepository } from './remote-state.ts';

/** Makes the repository, private, and looks whether it is. Gives false when somebody else made it meanwhile. Errors: repo_not_private, auth_error, upload_failed. */
export async function createRepository(hub: PushHub, repository: string): Promise<boolean> {
  const [organization, name] = repository.split('/');
  const answer = await hub.send({
    method: 'POST',
    to: '/api/repos/create',
    ...jsonBody({ type: 'model', organization, name, private: true }),
    doing: `making ${repository}`,
    accept: [409],
  });
  // What was asked for is not yet what is: a policy of the organisation may decide otherwise.
  if ((await readRepository(hub, repository)) === 'absent')
    throw new HearthError('repo_not_found', `${repository} was made, and this token cannot see it; nothing was sent.`, { details: { repository } });
  return answer.status !== 409;
}

/** Makes the branch; it begins where `main` is. Errors: branch_create_failed. */
export async function createBranch(hub: PushHub, repository: string, branch: string): Promise<void> {
  const answer = await hub.send({
    method: 'POST',
    to: apiPath(repository, `/branch/${encodeURIComponent(branch)}`),
    ...jsonBody({}),
    doing: `making the branch ${branch}`,
    accept: [400, 403, 404, 409, 422],
  });
  if (answer.status >= 400 && answer.status !== 409)
    throw new HearthError('branch_create_failed', `The branch ${branch} could not be made: the answer was ${answer.status}${hubSays(answer)}.`, {
      details: { branch, status: answer.status },
    });
}
