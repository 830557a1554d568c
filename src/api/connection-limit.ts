import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Keeps a server at `limit` connections: for a new one beyond it, the one that has been idle for longest is closed, so that who only holds
 * connections open shuts nobody out; where all are at work, the new one is (docs/spec/security.md §7).
 */
export function limitConnections(server: Server, limit: number): void {
  /** Connections without a request, the longest idle first. */
  const idle = new Set<Socket>();
  const working = new Map<Socket, number>();

  server.on('connection', (socket) => {
    if (idle.size + working.size >= limit) {
      const [victim = socket] = idle;
      idle.delete(victim);
      victim.destroy();
      if (victim === socket) return;
    }
    idle.add(socket);
    // A reset by the client is his business, before a request too.
    socket.on('error', () => {});
    socket.once('close', () => {
      idle.delete(socket);
      working.delete(socket);
    });
  });

  // Before the listeners that answer.
  server.prependListener('request', ({ socket }: IncomingMessage, outgoing: ServerResponse) => {
    idle.delete(socket);
    working.set(socket, (working.get(socket) ?? 0) + 1);
    outgoing.once('close', () => {
      const left = (working.get(socket) ?? 1) - 1;
      if (left > 0) working.set(socket, left);
      else {
        working.delete(socket);
        if (!socket.destroyed) idle.add(socket);
      }
    });
  });
}
