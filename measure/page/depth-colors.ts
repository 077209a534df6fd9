// Points of the colour map viridis, from dark to light: ordered for every kind of colour vision.
const viridis = [
  '#440154',
  '#482878',
  '#414487',
  '#355f8d',
  '#2a788e',
  '#21918c',
  '#22a884',
  '#44bf70',
  '#7ad151',
  '#bddf26',
  '#fde725',
];

// The ends would not stand out from a dark or a light page.
const lightest = 0.84;
const darkest = 0.26;

/** Colours of the depths, from light to dark; `#rrggbb`. */
export function depthColors(loops: number): readonly string[] {
  return Array.from({ length: loops }, (_, depth) => {
    const share = loops === 1 ? 0.5 : depth / (loops - 1);
    return colorAt(lightest + (darkest - lightest) * share);
  });
}

function colorAt(position: number): string {
  const place = position * (viridis.length - 1);
  const index = Math.min(viridis.length - 2, Math.floor(place));
  const [from, to] = [channels(viridis[index]!), channels(viridis[index + 1]!)];
  const mixed = from.map((channel, i) => Math.round(channel + (to[i]! - channel) * (place - index)));
  return `#${mixed.map((channel) => channel.toString(16).padStart(2, '0')).join('')}`;
}

function channels(color: string): readonly number[] {
  return [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
}
