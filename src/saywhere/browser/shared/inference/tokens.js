// What a network with tokens of the whole image sees of it, and where crops lie among the tokens (saywhere.core.image_tokens).

import { Crop, roundHalfEven } from './crop.js';
import { cropPixels } from './resize.js';

/** The picture { width, height, data } for the transformer: RGB bytes, sides that are multiples of a patch. */
export function imageForTokens(picture, { token_side: side, token_patch: patch }) {
  const { width, height } = picture, scale = side / Math.max(width, height);
  const [columns, rows] = [width, height].map((length) => Math.max(roundHalfEven(length * scale), 1));
  return cropPixels(picture, new Crop(0, 0, width, height, columns * patch, rows * patch), 1);
}

/** Where the cells of a crop lie among the columns and rows of tokens, whose dimensions are 1, C, h, w. */
export function tokenPlaces(shown, crop, [, , rows, columns], size, { token_stride: stride }) {
  const places = (padded, length, start, end, density) => Float32Array.from({ length: padded / stride }, (_, i) => (
    (start + Math.min((i + 0.5) * stride, length) * (end - start) / length) * density - 0.5));
  return {
    token_rows: places(shown.height, crop.height, crop.top, crop.bottom, rows / size.height),
    token_columns: places(shown.width, crop.width, crop.left, crop.right, columns / size.width),
  };
}
