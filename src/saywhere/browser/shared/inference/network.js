// Encoder and decoder, run by ONNX Runtime. `ort` is the module of onnxruntime-web.

const RUN_OPTIONS = { graphOptimizationLevel: 'all', enableMemPattern: false };

export class Network {
  encodeMs = 0; decodeMs = 0; encodings = 0;

  constructor(ort, facts, encoder, decoder) {
    Object.assign(this, { ort, facts, encoder, decoder, settings: facts.settings, multiple: facts.multiple });
  }

  /** `facts` is model.json; the models are bytes. */
  static async load(ort, facts, encoder, decoder, executionProviders = ['wasm']) {
    const open = (model) => ort.InferenceSession.create(model, { ...RUN_OPTIONS, executionProviders });
    return new Network(ort, facts, await open(encoder), await open(decoder));
  }

  /** Features of { pixels, width, height }: RGB bytes whose sides are multiples of `multiple`. */
  async encode({ pixels, width, height }) {
    const started = performance.now();
    const features = await this.encoder.run({ image: new this.ort.Tensor('uint8', pixels, [1, height, width, 3]) });
    this.encodeMs += performance.now() - started;
    this.encodings++;
    return { levels: { ...features }, width, height };
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
