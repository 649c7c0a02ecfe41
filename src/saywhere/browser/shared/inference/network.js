// Encoder, decoder and, where crops share tokens of the image, what gives these, run by ONNX Runtime. `ort` is the module of
// onnxruntime-web.

import { tokenPlaces, imageForTokens } from './tokens.js';

const RUN_OPTIONS = { graphOptimizationLevel: 'all', enableMemPattern: false };

export class Network {
  encodeMs = 0; decodeMs = 0; encodings = 0;

  constructor(ort, facts, sessions) {
    Object.assign(this, { ort, facts, settings: facts.settings, multiple: facts.multiple });
    [this.encoder, this.decoder, this.transformer] = ['encoder.onnx', 'decoder.onnx', 'tokens.onnx'].map((name) => sessions[name]);
  }

  /** `facts` is model.json; `models` has the bytes of each of its files. */
  static async load(ort, facts, models, executionProviders = ['wasm']) {
    const sessions = {};
    for (const name of Object.keys(facts.files)) sessions[name] = await ort.InferenceSession.create(models[name], { ...RUN_OPTIONS, executionProviders });
    return new Network(ort, facts, sessions);
  }

  /** Tokens of a picture { width, height, data } (RGBA bytes), which all of its crops share; null where the network has none. */
  async tokens(picture) {
    if (!this.transformer) return null;
    const seen = imageForTokens(picture, this.facts);
    return this.#timed(async () => (await this.transformer.run({ image: this.#pixels(seen) })).tokens);
  }

  /**
   * Features of a crop, whose pixels are { pixels, width, height }: RGB bytes with sides that are multiples of `multiple`.
   * `tokens` are those of the picture, and `size` is its { width, height }.
   */
  async encode(shown, crop, tokens, size) {
    const inputs = { image: this.#pixels(shown) };
    if (tokens) {
      inputs.tokens = tokens;
      for (const [name, places] of Object.entries(tokenPlaces(shown, crop, tokens.dims, size, this.facts))) {
        inputs[name] = new this.ort.Tensor('float32', places, [1, places.length]);
      }
    }
    const features = await this.#timed(() => this.encoder.run(inputs));
    this.encodings++;
    return { levels: { ...features }, width: shown.width, height: shown.height };
  }

  #pixels({ pixels, width, height }) {
    return new this.ort.Tensor('uint8', pixels, [1, height, width, 3]);
  }

  async #timed(run) {
    const started = performance.now(), result = await run();
    this.encodeMs += performance.now() - started;
    return result;
  }

  /** Logits of each candidate, width x height of the crop, and their predicted IoU. */
  async decode({ levels, width, height }, crop, prompt, previous) {
    const started = performance.now(), output = await this.decoder.run({
      ...levels, ...this.#points(prompt),
      previous: new this.ort.Tensor('float32', padded(previous, crop, width, height), [1, 1, height, width]),
    });
    this.decodeMs += performance.now() - started;
    const count = output.logits.dims[1], logits = output.logits.data, ious = Array.from(output.predicted_ious.data).slice(0, count);
    const candidates = Array.from({ length: count }, (_, i) => cut(logits, i * width * height, width, crop));
    return { candidates, ious };
  }

  #points({ clicks, box }) {
    const points = clicks.map((c) => [c.x, c.y, c.positive ? 1 : 0, c.radius ?? 0]);
    if (box) points.push([box[0] - 0.5, box[1] - 0.5, 2, 0], [box[2] - 0.5, box[3] - 0.5, 3, 0]);
    if (!points.length) points.push([0, 0, -1, 0]);
    const make = (values, ...dims) => new this.ort.Tensor('float32', Float32Array.from(values), [1, points.length, ...dims]);
    return {
      points: make(points.flatMap(([x, y]) => [x, y]), 2), labels: make(points.map((p) => p[2])), radii: make(points.map((p) => p[3])),
    };
  }
}

/** A map of a crop at the upper left of a larger one of zeros; all zeros without a map. */
function padded(values, crop, width, height) {
  const result = new Float32Array(width * height);
  if (values) for (let y = 0; y < crop.height; y++) result.set(values.subarray(y * crop.width, (y + 1) * crop.width), y * width);
  return result;
}

/** The upper left, of a crop's size, of a map that begins at `offset` and is `width` wide. */
function cut(values, offset, width, crop) {
  const result = new Float32Array(crop.width * crop.height);
  for (let y = 0; y < crop.height; y++) result.set(values.subarray(offset + y * width, offset + y * width + crop.width), y * crop.width);
  return result;
}
