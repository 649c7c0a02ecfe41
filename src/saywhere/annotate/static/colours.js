// Colours of objects: shades of their label's, or a colour for each.

const UNLABELLED = '#f59f00', GOLDEN = 137.508;  // degrees; its multiples lie far apart
// Shifts of hue (degrees), and of lightness (0 to 1), that tell the objects of one label apart.
const SHADES = [[0, 0], [22, 0.13], [-22, -0.11], [0, 0.2], [26, -0.06], [-26, 0.12], [12, -0.16], [-12, 0.22]];

/** Colours of an image's objects by their numbers. `by` is 'label' (shades of its colour) or 'object' (any colour). */
export function objectColours(objects, labelColour, by) {
  const ranks = new Map(), colours = new Map();
  for (const object of [...objects].sort((a, b) => a.id - b.id)) {
    const base = labelColour(object.label) ?? UNLABELLED, rank = ranks.get(object.label) ?? 0;
    ranks.set(object.label, rank + 1);
    colours.set(object.id, by === 'object' ? anyColour(object.id) : shade(base, rank));
  }
  return colours;
}

export function labelColour(label) {
  return label?.colour ?? UNLABELLED;
}

function anyColour(number) {
  return toHex((number * GOLDEN) % 360, 0.75, number % 3 === 0 ? 0.38 : number % 3 === 1 ? 0.52 : 0.62);
}

function shade(colour, rank) {
  if (rank === 0) return colour;
  const [hue, saturation, lightness] = toHsl(colour), [turn, lift] = SHADES[rank % SHADES.length];
  const round = Math.floor(rank / SHADES.length);  // from the second round on, a little further still
  const lighter = Math.min(Math.max(lightness + lift, 0.22), 0.78);
  return toHex((hue + turn + 11 * round + 360) % 360, Math.max(saturation, 0.45), lighter);
}

function toHsl(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16) / 255);
  const high = Math.max(r, g, b), low = Math.min(r, g, b), span = high - low, lightness = (high + low) / 2;
  if (!span) return [0, 0, lightness];
  const sector = high === r ? ((g - b) / span + 6) % 6 : high === g ? (b - r) / span + 2 : (r - g) / span + 4;
  return [60 * sector, span / (1 - Math.abs(2 * lightness - 1)), lightness];
}

function toHex(hue, saturation, lightness) {
  const channel = (n) => {
    const k = (n + hue / 30) % 12;
    return lightness - saturation * Math.min(lightness, 1 - lightness) * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  return `#${[0, 8, 4].map((n) => Math.round(255 * channel(n)).toString(16).padStart(2, '0')).join('')}`;
}

/** Whether dark text is read more easily on a colour than white text (relative luminance of WCAG above 0.18). */
export function isLight(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => (parseInt(colour.slice(i, i + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18;
}
