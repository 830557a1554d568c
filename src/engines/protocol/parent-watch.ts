import { Socket } from 'node:net';

/*
 * A thread of its own in every worker process. The parent never writes to our standard input, so its end means that the parent is gone. The
 * main thread may be busy for long; SIGKILL from here ends the whole process all the same.
 */
const end = (): void => {
  process.kill(process.pid, 'SIGKILL');
};
const input = new Socket({ fd: 0, readable: true, writable: false });
input.on('end', end);
input.on('error', end);
input.on('close', end);
input.resume();
