/** Whether a process of that id runs, ours or another user's. Ids are given again: what must be sure compares the start time too. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
