// This tab's identifier, under which it holds edit locks. It is kept when the tab is reloaded or restored, and is another
// one in a copy of the tab. What tabs of this browser held that are gone, because they were killed, can be released.

const STORED = 'saywhere-client', KNOWN = 'saywhere-tabs';
const PATIENCE = 500;  // ms for the page before a reload to let go of the identifier

/** An identifier of n random letters and digits. Works without https too. */
export function randomName(n = 20) {
  const letters = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from(crypto.getRandomValues(new Uint8Array(n)), (v) => letters[v % letters.length]).join('');
}

const lockName = (name) => `saywhere-tab:${name}`;

/** Hold an identifier until the tab is gone; false where another tab holds it. Without https nobody can know. */
function hold(name) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const held = () => { resolve(true); return new Promise(() => {}); };
    navigator.locks.request(lockName(name), { signal: AbortSignal.timeout(PATIENCE) }, held).catch(() => resolve(false));
  });
}

async function claim() {
  const stored = sessionStorage.getItem(STORED);
  if (stored && await hold(stored)) return stored;
  const fresh = randomName();
  await hold(fresh);
  sessionStorage.setItem(STORED, fresh);
  return fresh;
}

export const client = await claim();

const known = () => JSON.parse(localStorage.getItem(KNOWN) ?? '{}');

/** Remember which image this tab edits; null for none. */
export function rememberImage(image) {
  const tabs = known();
  if (image === null) delete tabs[client];
  else tabs[client] = image;
  localStorage.setItem(KNOWN, JSON.stringify(tabs));
}

/** The identifiers of tabs of this browser that are gone and were editing an image. They are forgotten. */
export async function takeGoneTabs(image) {
  if (!navigator.locks) return [];
  const { held } = await navigator.locks.query(), names = new Set(held.map((lock) => lock.name)), tabs = known();
  const gone = Object.keys(tabs).filter((name) => tabs[name] === image && !names.has(lockName(name)));
  for (const name of gone) delete tabs[name];
  localStorage.setItem(KNOWN, JSON.stringify(tabs));
  return gone;
}
