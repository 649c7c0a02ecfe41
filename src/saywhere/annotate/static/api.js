// The server's contract, and nothing else: /api/openapi.json says what each path takes and gives.

/** What the server refused, or could not be reached for (status 0). */
export class ApiError extends Error {
  constructor(status, message, holder = null) {
    super(message);
    this.status = status;
    this.holder = holder;
  }
}

/** A name of our own: n random letters and digits. Works without https too. */
export function randomName(n = 20) {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from(crypto.getRandomValues(new Uint8Array(n)), (v) => letters[v % letters.length]).join('');
}

/** This tab's name; the same after it is loaded again. */
export const client = sessionStorage.getItem('saywhere-client') ?? randomName();
sessionStorage.setItem('saywhere-client', client);

export function personName() {
  return localStorage.getItem('saywhere-person') ?? '';
}

export async function call(method, path, body, options = {}) {
  const headers = { 'X-Saywhere-Client': client, 'X-Saywhere-Person': encodeURIComponent(personName()).slice(0, 600) };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, 'the annotator cannot be reached; is it still running?');
  }
  if (response.status === 401) location.assign('/login');
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, answer?.error ?? `error ${response.status}`, answer?.holder);
  if (answer === null) throw new ApiError(0, 'the answer was cut short');
  return answer;
}

export const get = (path, options) => call('GET', path, undefined, options);
export const post = (path, body, options) => call('POST', path, body, options);

/** A map of the contract (values over a rectangle) as an image. */
export async function decodeMap(map) {
  const bytes = Uint8Array.from(atob(map.png), (c) => c.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  return { ...map, image };
}
