/** `1.98 billion`, `313.8 million`, `81,408`: parameters, for people. */
export function parameterText(count: number): string {
  if (count >= 9.995e8) return `${(count / 1e9).toFixed(2)} billion`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(count >= 9.995e7 ? 1 : 2)} million`;
  return count.toLocaleString('en-US');
}
