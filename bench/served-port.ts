/** The port that `hearth serve --json` tells once its model is loaded. Throws with the reason where it could not start. */
export function servedPort(output: string): number {
  const { data, error } = JSON.parse(output) as { readonly data: { readonly port: number } | null; readonly error?: { readonly message: string } | null };
  if (data === null) throw new Error(`hearth serve did not start: ${error?.message ?? output}`);
  return data.port;
}
