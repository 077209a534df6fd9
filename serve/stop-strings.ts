/** Watches text that comes in pieces for strings that end it. */
export interface StopWatcher {
  /** The next piece: text that is sure not to begin a stop string, and whether one was found. */
  readonly push: (text: string) => { readonly text: string; readonly stopped: boolean };
  /** What was held back, once no more text comes. */
  readonly end: () => string;
}

/**
 * Text ends in front of the stop string that is complete first; of several that are complete at once the longest
 * counts. So where it ends does not depend on how the text was cut into pieces. Text that may yet turn out to begin a
 * stop string is held back.
 * @param stops none of them empty
 */
export function watchForStops(stops: readonly string[]): StopWatcher {
  const longest = Math.max(0, ...stops.map((stop) => stop.length));
  let held = '';
  return {
    push: (text) => {
      if (longest === 0) return { text, stopped: false };
      const seen = held + text;
      const found = firstComplete(seen, stops);
      if (found !== undefined) {
        held = '';
        return { text: seen.slice(0, found), stopped: true };
      }
      const keep = beginning(seen, stops, longest);
      held = seen.slice(seen.length - keep);
      return { text: seen.slice(0, seen.length - keep), stopped: false };
    },
    end: () => {
      const rest = held;
      held = '';
      return rest;
    },
  };
}

/** Where the stop string begins that ends first. */
function firstComplete(text: string, stops: readonly string[]): number | undefined {
  let best: { readonly start: number; readonly end: number } | undefined;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    if (start < 0) continue;
    const end = start + stop.length;
    if (best === undefined || end < best.end || (end === best.end && start < best.start)) best = { start, end };
  }
  return best?.start;
}

/** How many characters at the end of the text may begin a stop string. */
function beginning(text: string, stops: readonly string[], longest: number): number {
  for (let length = Math.min(longest - 1, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
  }
  return 0;
}
