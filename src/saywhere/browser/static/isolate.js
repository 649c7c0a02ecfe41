// Threads of WebAssembly need a cross-origin isolated page. Where the server does not say so, a service worker does, which
// also keeps the page's files for use without a network.

const TRIED = 'saywhere-isolated';

/** Install the service worker; reload the page once where that isolates it. Never fails: without it there is one thread. */
export async function isolate() {
  if (!('serviceWorker' in navigator)) return;
  try {
    await navigator.serviceWorker.register('./service-worker.js');
    await navigator.serviceWorker.ready;
    if (self.crossOriginIsolated || sessionStorage.getItem(TRIED)) return;
    sessionStorage.setItem(TRIED, 'yes');
    location.reload();
    await new Promise(() => {});  // until the page is gone
  } catch (error) {
    console.warn(`without a service worker: ${error.message}`);
  }
}
