// Adds the headers of a cross-origin isolated page to the page's own files, and keeps them for use without a network.

const CACHE = 'saywhere';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

function isolated(answer) {
  const headers = new Headers(answer.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers });
}

async function answerTo(request) {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    if (answer.status === 200 && request.method === 'GET') await cache.put(request, answer.clone());
    return isolated(answer);
  } catch (error) {
    const kept = await cache.match(request, { ignoreSearch: true, ignoreMethod: true });
    if (kept) return isolated(kept);
    throw error;
  }
}

self.addEventListener('fetch', (event) => {
  if (new URL(event.request.url).origin === self.location.origin) event.respondWith(answerTo(event.request));
});
