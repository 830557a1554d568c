/** `588B`, `1.2KB`, `2.3GB`: decimal units, one digit. */
export function sizeText(bytes: number): string {
  if (bytes < 1000) return `${bytes}B`;
  const units = ['KB', 'MB', 'GB', 'TB'];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(1)}${units[unit]}`;
}
