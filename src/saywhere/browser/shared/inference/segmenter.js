// An image with the features of its crops, and one object of it with the interactions that led to its mask
// (saywhere.interactive.encoded_image and segmenter).

import { Crop } from './crop.js';
import { logit, MaskDecoder } from './decoding.js';
import { cropPixels, enlargedAbove } from './resize.js';

const CACHED_CROPS = 4;

export class EncodedImage {
  #features = new Map();
  #tokens = null;

  /** `picture` is { width, height, data }, RGBA bytes. */
  constructor(network, picture) {
    const { size, enlarge } = network.settings, { width, height } = picture;
    Object.assign(this, { network, picture, size: { width, height } });
    this.fullCrop = Crop.fromBox([0, 0, width, height], this.size, enlarge ? size : Math.min(size, Math.max(width, height)));
  }

  /** The features of a crop, encoded once. Those of the full crop are always kept, of others the last few. */
  async features(crop) {
    let features = this.#features.get(crop.key);
    if (!features) features = await this.#encoded(crop);
    else this.#features.delete(crop.key);
    this.#features.set(crop.key, features);
    for (const key of this.#features.keys()) {
      if (this.#features.size <= CACHED_CROPS) break;
      if (key !== this.fullCrop.key) this.#features.delete(key);
    }
    return features;
  }

  async #encoded(crop) {
    this.#tokens ??= await this.network.tokens(this.picture);
    return this.network.encode(cropPixels(this.picture, crop, this.network.multiple), crop, this.#tokens, this.size);
  }
}

const FIRST_STEP = { prompt: { clicks: [], box: null }, answer: null, output: null, choices: 0, isKept: false };
const lengthOf = (prompt) => prompt.clicks.length + (prompt.box ? 1 : 0);

export class Segmenter {
  #steps = [FIRST_STEP];
  #position = 0;

  constructor(network, encoded) {
    Object.assign(this, { encoded, settings: network.settings, decoder: new MaskDecoder(network, encoded, network.settings) });
  }

  get step() {
    return this.#steps[this.#position];
  }

  get mask() {
    return this.step.answer?.mask ?? null;
  }

  /** The masks for the present prompt, smallest area first. */
  get candidates() {
    return this.step.answer?.candidates() ?? [];
  }

  /** A click { x, y, positive, radius } in pixels of the image; radius is null, or the length of a drag. */
  async click(click) {
    const { step, settings } = this, before = this.mask;
    const prompt = { ...step.prompt, clicks: [...step.prompt.clicks, click] };
    const keeps = settings.keep_clicked && click.positive && step.isKept;
    const answer = await this.decoder.decode({
      ...this.#input(prompt), previous: before, usePrevious: lengthOf(prompt) >= settings.previous_mask_from,
      kept: keeps ? before : null, output: step.output,
    });
    this.#remember({ ...step, prompt, answer, isKept: prompt.clicks.some((c) => c.positive) });
  }

  /** The box [left, top, right, bottom] around the object, edges in pixels of the image. */
  async box(box) {
    const { step } = this, prompt = { ...step.prompt, box };
    const answer = await this.decoder.decode(this.#input(prompt));
    this.#remember({ ...step, prompt, answer, output: null, isKept: false });
  }

  /** Take another candidate, by its index in `candidates`. */
  async choose(index) {
    const { step, settings } = this, chosen = this.candidates[index];
    const usePrevious = lengthOf(step.prompt) >= settings.previous_mask_from;
    const given = { ...this.#input(step.prompt), usePrevious, output: chosen.candidate };
    const answer = await this.decoder.decodeChoice(given, step.answer, chosen);
    this.#remember({ ...step, answer, output: chosen.candidate, choices: step.choices + 1, isKept: true });
  }

  undo() {
    this.#position = Math.max(this.#position - 1, 0);
  }

  redo() {
    this.#position = Math.min(this.#position + 1, this.#steps.length - 1);
  }

  /** The mask inside its crop, at the image's scale: { left, top, width, height, inside }; null without one. */
  part(threshold = this.settings.threshold) {
    if (!this.mask) return null;
    const { crop, logits } = this.mask, width = crop.right - crop.left, height = crop.bottom - crop.top;
    return { left: crop.left, top: crop.top, width, height, inside: enlargedAbove(logits, crop, width, height, logit(threshold)) };
  }

  #input(prompt) {
    const minShare = prompt.clicks.some((c) => c.positive) ? this.settings.unclicked_components : 0;
    return { prompt, previous: null, usePrevious: false, kept: null, output: null, minShare };
  }

  #remember(step) {
    this.#steps = [...this.#steps.slice(0, this.#position + 1), step];
    this.#position++;
  }
}
