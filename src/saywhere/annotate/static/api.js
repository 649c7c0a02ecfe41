// Requests to the server's API; /api/openapi.json describes what each path takes and returns.

import { t } from './i18n.js';
import { client } from './tab.js';

/** A request that the server rejected, or that did not reach it (status 0). */
export class ApiError extends Error {
  constructor(status, message, holder = null) {
    super(message);
    this.status = status;
    this.holder = holder;
  }
}

export function personName() {
  return localStorage.getItem('saywhere-person') ?? '';
}

export async function call(method, path, body, { as = client, ...options } = {}) {
  const headers = { 'X-Saywhere-Client': as, 'X-Saywhere-Person': encodeURIComponent(personName()).slice(0, 600) };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, t('page.unreachable'));
  }
  if (response.status === 401) location.assign('/login');
  if (response.status === 204) return null;
  const result = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, result?.error ?? t('page.error', { status: String(response.status) }), result?.holder);
  if (result === null) throw new ApiError(0, t('page.cut-short'));
  return result;
}

export const get = (path, options) => call('GET', path, undefined, options);
export const post = (path, body, options) => call('POST', path, body, options);

/** A map of the API (values over a rectangle of the image) with its values as a bitmap. */
export async function decodeMap(map) {
  const bytes = Uint8Array.from(atob(map.png), (c) => c.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
  return { ...map, bitmap };
}
