// A prompt to masks: the crops that it zooms through, and the candidates of the last one (saywhere.interactive.decoding).

import { boxScores, confine, NOTHING } from './box_fit.js';
import { removeUnclickedComponents } from './components.js';
import { resample } from './resize.js';
import { firstCrop, isTruncated, nextCrop } from './zoom.js';

/** What the network gave for one crop. */
class CropOutput {
  constructor(crop, candidates, ious, prompt, minShare) {
    Object.assign(this, { crop, candidates, ious, prompt, minShare });
  }

  /** The output with the highest predicted IoU; with a box its agreement with the box counts too. */
  get best() {
    const { crop, candidates, ious, prompt: { box } } = this;
    const scores = box ? boxScores(ious, candidates, crop.width, crop.height, box) : ious;
    return scores.reduce((best, score, i) => (score > scores[best] ? i : best), 0);
  }

  /** The mask of one output, without the components that no click is on. */
  mask(candidate) {
    const { crop, prompt, minShare } = this;
    let logits = this.candidates[candidate];
    if (minShare) logits = removeUnclickedComponents(logits, crop.width, crop.height, prompt.clicks, minShare);
    return { crop, logits, iou: this.ious[candidate], candidate };
  }
}

/** The mask's area as a share of the image's, measured at the scale of the crop. */
function areaShare({ crop, logits }, size, limit) {
  let inside = 0;
  for (const value of logits) if (value > limit) inside++;
  return (inside / logits.length) * (crop.right - crop.left) * (crop.bottom - crop.top) / (size.width * size.height);
}

export const sigmoid = (value) => 1 / (1 + Math.exp(-Math.min(Math.max(value, -30), 30)));

/** A probability to its logit. */
export const logit = (probability) => Math.log(probability / (1 - probability));

/**
 * Decodes prompts of one image. A prompt is { clicks: [{ x, y, positive, radius }], box }, in pixels of the image; `given`
 * is { prompt, previous, usePrevious, kept, output, minShare }, as DecoderInput of the library.
 */
export class MaskDecoder {
  constructor(network, encoded, settings) {
    Object.assign(this, { network, encoded, settings });
  }

  /** Decode a prompt, first in the crop that it or the mask before decides, then in the crop of the new mask. */
  async decode(given) {
    if (given.previous) return this.#zoom(given, given.previous, null);
    const output = await this.#decodeCrop(firstCrop(this.encoded, given.prompt, this.settings, this.#zoomSize(given)), given, null);
    return this.#zoom(given, this.#chosen(output, given), output);
  }

  /** Take a candidate of an answer, and decode it again where it asks for another crop. */
  async decodeChoice(given, answer, chosen) {
    if (isTruncated(this.encoded, chosen) && !given.usePrevious) return this.decode(given);
    return this.#zoom(given, chosen, answer.output);
  }

  #zoomSize(given) {
    return given.usePrevious ? this.settings.later_zoom_size : this.settings.zoom_size;
  }

  async #zoom(given, mask, output) {
    const { settings, encoded } = this;
    for (let steps = Math.max(settings.max_zoom_steps, output ? 0 : 1); steps > 0; steps--) {
      const crop = nextCrop(encoded, given.prompt, mask, settings, this.#zoomSize(given));
      if (output && crop.equals(mask.crop)) break;
      if (output && given.output === null && settings.candidate_choice === 'first') given = { ...given, output: mask.candidate };
      output = await this.#decodeCrop(crop, given, given.usePrevious ? mask : null);
      mask = this.#chosen(output, given);
    }
    return this.#answer(mask, output);
  }

  /** A mask with all candidates of its crop, smallest area first; these are computed when they are needed. */
  #answer(mask, output) {
    const limit = logit(this.settings.threshold), { size } = this.encoded;
    let all = null;
    const candidates = () => {
      all ??= output.candidates.map((_, i) => (i === mask.candidate ? mask : output.mask(i)))
        .map((each) => [areaShare(each, size, limit), each])
        .sort(([a, one], [b, other]) => a - b || one.candidate - other.candidate).map(([, each]) => each);
      return all;
    };
    return { mask, output, candidates };
  }

  #chosen(output, given) {
    const mask = output.mask(given.output ?? output.best);
    if (!given.kept) return mask;
    const kept = resample(given.kept.logits, given.kept.crop, mask.crop, NOTHING);
    return { ...mask, logits: mask.logits.map((value, i) => Math.max(value, kept[i])) };
  }

  async #decodeCrop(crop, given, previous) {
    const past = previous && resample(previous.logits, previous.crop, crop, NOTHING).map(sigmoid);
    const prompt = crop.toCrop(given.prompt), features = await this.encoded.features(crop);
    const { candidates, ious } = await this.network.decode(features, crop, prompt, past);
    if (prompt.box) confine(candidates, crop.width, crop.height, prompt.box, prompt.clicks);
    return new CropOutput(crop, candidates, ious, prompt, given.minShare);
  }
}
