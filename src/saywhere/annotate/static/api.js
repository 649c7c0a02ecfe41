// Requests to the server's API; /api/openapi.json describes what each path takes and returns.

import { t } from './i18n.js';

/** A request that the server rejected, or that did not reach it (status 0). */
export class ApiError extends Error {
  constructor(status, message, holder = null) {
    super(message);
    this.status = status;
    this.holder = holder;
  }
}

/** An identifier of n random letters and digits. Works without https too. */
export function randomName(n = 20) {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from(crypto.getRandomValues(new Uint8Array(n)), (v) => letters[v % letters.length]).join('');
}

/** This tab's identifier, kept when it is reloaded. */
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
