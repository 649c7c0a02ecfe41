// A page's side of the worker: each method is a promise.

export class Client {
  #calls = new Map();
  #count = 0;

  constructor() {
    this.worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    this.worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#calls.get(id);
      this.#calls.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    this.worker.onerror = (event) => {
      for (const { reject } of this.#calls.values()) reject(new Error(event.message || 'worker'));
      this.#calls.clear();
    };
  }

  call(method, values = {}, transfer = []) {
    return new Promise((resolve, reject) => {
      const id = this.#count++;
      this.#calls.set(id, { resolve, reject });
      this.worker.postMessage({ id, method, values }, transfer);
    });
  }

  end() {
    this.worker.terminate();
  }
}
