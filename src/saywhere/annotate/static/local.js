// Masks that this page computes by itself, with the network that the server hands out (saywhere annotate --in-browser).
// What it cannot compute (phrases, masks that were given, very large images) the server does, and everything after a fault.

import { formatNumber, t } from './i18n.js';
import { Client } from './inference/client.js';

const MAX_PIXELS = 50e6;      // of an image: four bytes for each are kept
const MAX_COUNTS = 400000;    // characters of run lengths that one request may have
const MAX_VERIFY = 30000;     // ms for WebGPU to load and to be compared with WebAssembly
const COMPUTED = ['click', 'box', 'candidate', 'threshold'];
const BACKENDS = { wasm: 'WebAssembly', webgpu: 'WebGPU' };

export class LocalNetwork {
  #client = null;
  #loaded = null;   // resolves to whether there is a network
  #facts = null;
  #opened = { id: null, done: null };  // the image that is opened; `done` resolves to whether it can be used
  #fault = null;

  constructor(session) {
    this.session = session;
    session.addEventListener('project', () => this.#start());
    session.addEventListener('open', () => this.#open());
  }

  /** Whether this page computes: then it asks the server for nothing that nobody asked for. */
  get isActive() {
    return this.#loaded !== null && this.#fault === null;
  }

  #start() {
    const given = this.session.project.in_browser;
    if (!given || this.#loaded) return;
    this.#loaded = this.#load(new URL(given.address, location.href).href).then(() => true, (error) => this.#fail(error));
    this.#show();
  }

  async #load(base) {
    for (const backend of await usableBackends()) {
      this.#client = new Client();
      try {
        const loading = this.#client.call('load', { backend, base, verify: backend !== 'wasm' });
        this.#facts = await (backend === 'wasm' ? loading : Promise.race([loading, tooLate()]));
        return this.#show();
      } catch (error) {
        this.#client.end();
        if (backend === 'wasm') throw error;
        console.warn(`without WebGPU: ${error.message}`);
      }
    }
  }

  /** Compute nothing more here, and say so. */
  #fail(error) {
    this.#fault ??= error.message;
    this.#show();
    this.session.notice(t('local.failed', { reason: this.#fault }));
    return false;
  }

  #show() {
    const place = document.getElementById('computed'), facts = this.#facts;
    place.hidden = false;
    document.documentElement.dataset.computes = this.#fault !== null ? 'server' : facts ? facts.backend : 'loading';
    if (this.#fault !== null) place.textContent = t('local.server');
    else if (!facts) place.textContent = t('local.loading');
    else place.textContent = t('local.here', { how: BACKENDS[facts.backend], count: facts.threads });
  }

  // Images

  #open() {
    const { row, image } = this.session;
    if (this.#loaded && image && !this.#fault) this.#opened = { id: row.id, done: this.#openImage(row.id, image) };
  }

  async #openImage(id, { width, height, version }) {
    if (!await this.#loaded) return false;
    if (width * height > MAX_PIXELS) {
      this.session.notice(t('local.large', { size: formatNumber(width * height / 1e6, 0), most: MAX_PIXELS / 1e6 }), false);
      return false;
    }
    let bitmap;
    try {
      const answer = await fetch(`/api/images/${id}/picture?version=${version}&longest=${Math.max(width, height, 16)}&quality=95`);
      if (!answer.ok) return false;
      bitmap = await createImageBitmap(await answer.blob(), { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
    } catch {
      return false;  // the server may be back for the click
    }
    try {
      await this.#client.call('open', { bitmap }, [bitmap]);
      return true;
    } catch (error) {
      return this.#fail(error);
    }
  }

  // Masks

  /** The mask of an action on the open image, for the request; null where the server is to compute it. */
  async compute(id, action) {
    if (!this.isActive || !COMPUTED.includes(action.kind)) return null;
    const { state, image } = this.session, object = state.objects.find((one) => one.id === action.object) ?? null;
    const actions = actionsAfter(object?.interactions ?? [], action, image), opened = this.#opened;
    if (!actions?.length || opened.id !== id || !await opened.done) return null;
    const threshold = action.kind === 'threshold' ? action.value : object?.threshold;
    try {
      const { counts, score, offered, ms } = await this.#client.call('segment', { actions, threshold, offered: object?.candidates });
      if (counts === null || counts.length > MAX_COUNTS) return null;
      const { weights, precision, backend } = this.#facts;
      return { counts, score, weights, precision, backend, candidates: offered, spent_ms: ms };
    } catch (error) {
      this.#fail(error);
      return null;
    }
  }
}

/** WebGPU where the browser has an adapter that is no software, then WebAssembly. */
async function usableBackends() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return adapter && !adapter.info?.isFallbackAdapter ? ['webgpu', 'wasm'] : ['wasm'];
}

const tooLate = () => new Promise((_, reject) => { setTimeout(() => reject(new Error('it takes too long')), MAX_VERIFY); });

/** What the network is given for an object after an action, as the worker takes it; null if it cannot take something. */
function actionsAfter(interactions, action, image) {
  const actions = [...interactions, ...(action.kind === 'threshold' ? [] : [action])].map((one) => workerAction(one, image));
  return actions.includes(null) ? null : actions;
}

function workerAction({ kind, x, y, positive = true, radius = null, box, index }, { width, height }) {
  if (kind === 'click') return { kind, x, y, positive, radius };
  if (kind === 'candidate') return { kind: 'choose', index };
  if (kind !== 'box') return null;
  // Cut off at the image's border, as the server does it.
  return { kind, box: [Math.max(box[0], 0), Math.max(box[1], 0), Math.min(box[2], width), Math.min(box[3], height)] };
}
