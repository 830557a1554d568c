// Serves a folder as a model hub and prints its address: `node test/reference/serve-fake-hub.ts FOLDER [BEHAVIOUR as JSON]`.
import { type FakeHubBehaviour, startFakeHub } from '../support/fake-hub.ts';

const [folder = '.', behaviour = '{}'] = process.argv.slice(2);
const hub = await startFakeHub(folder, JSON.parse(behaviour) as FakeHubBehaviour);
console.log(hub.endpoint);
