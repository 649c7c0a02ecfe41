// Puts the page together.

import { Session } from './session.js';
import { Stage } from './stage.js';
import { Input } from './input.js';
import { List } from './list.js';
import { Side } from './side.js';
import { Phrase } from './phrase.js';
import { bindings, explain, listen } from './keys.js';

const byId = (id) => document.getElementById(id);
const canvas = byId('canvas'), help = byId('help');
const session = new Session();
const stage = new Stage(canvas, session);
const input = new Input(canvas, session, stage);
new List(session);
const side = new Side(session, stage, input);
const phrase = new Phrase(session, stage, canvas);
const table = bindings({ session, stage, input, phrase, help, side });
listen(table, { session, input });
explain(table, byId('keys'));

// Above the photograph

const undo = () => session.act({ kind: 'undo' }, { toObject: false });
const redo = () => session.act({ kind: 'redo' }, { toObject: false });
const press = (id, action) => byId(id).addEventListener('click', () => { action(); canvas.focus(); });
press('undo', undo);
press('redo', redo);
press('fit', () => stage.fit());
press('theme', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
byId('help-open').addEventListener('click', () => help.showModal());
byId('help-close').addEventListener('click', () => help.close());
const exporting = byId('exporting');
function linkExports() {
  for (const link of exporting.querySelectorAll('a')) link.href = `/api/export?format=${link.dataset.format}&done=${byId('export-done').checked}`;
}
byId('export').addEventListener('click', async () => { await session.settled(); linkExports(); exporting.showModal(); });
byId('export-done').addEventListener('change', linkExports);
byId('export-close').addEventListener('click', () => exporting.close());
byId('toggle-photos').addEventListener('click', () => byId('photos').classList.toggle('open'));
byId('toggle-side').addEventListener('click', () => byId('side').classList.toggle('open'));
canvas.addEventListener('pointerdown', () => { for (const id of ['photos', 'side']) byId(id).classList.remove('open'); });
const TITLES = { point: 'Point (V)', brush: 'Brush (B)', eraser: 'Eraser (E)', undo: 'Undo (Z)', redo: 'Redo (Y)', fit: 'Whole photograph (F)' };
for (const button of document.querySelectorAll('#tools button')) {
  button.title = button.ariaLabel = TITLES[button.dataset.tool];
  button.addEventListener('click', () => { input.setTool(button.dataset.tool); canvas.focus(); });
}
for (const id of ['undo', 'redo', 'fit', 'theme', 'help-open']) byId(id).ariaLabel = byId(id).title = TITLES[id] ?? byId(id).title;
for (const button of document.querySelectorAll('#sign button')) {
  button.title = 'Left press, or one finger; the right button is the other (X)';
  button.addEventListener('click', () => { input.setSign(button.dataset.sign === 'plus'); canvas.focus(); });
}
session.addEventListener('tool', () => {
  for (const button of document.querySelectorAll('#tools button')) button.setAttribute('aria-pressed', button.dataset.tool === input.tool);
  for (const button of document.querySelectorAll('#sign button')) button.setAttribute('aria-pressed', (button.dataset.sign === 'plus') === input.positive);
});
session.addEventListener('view', () => { byId('zoom').textContent = `${Math.round(100 * stage.scale)} %`; });
session.addEventListener('project', () => {
  document.title = `${session.project.name} · Saywhere`;
  byId('project').textContent = session.project.name;
});
for (const name of ['state', 'open', 'held']) session.addEventListener(name, () => {
  const free = session.heldBy === null;
  byId('undo').disabled = !session.state?.can_undo || !free;
  byId('redo').disabled = !session.state?.can_redo || !free;
  byId('name').textContent = session.image ? `${session.image.path}${session.photo ? `  ·  ${session.photo.width} × ${session.photo.height}` : ''}` : '';
});

// What the person should know

let toastTimer = 0;
session.addEventListener('notice', ({ detail }) => {
  const toast = byId('toast');
  toast.textContent = detail.text;
  toast.classList.add('shown');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toast.classList.remove('shown'), 2500 + 45 * detail.text.length);
});
function banner(text, action = null, run = null) {
  const [words, button] = byId('banner').children;
  byId('banner').hidden = text === null;
  words.textContent = text ?? '';
  button.hidden = action === null;
  button.textContent = action ?? '';
  button.onclick = run;
}
let unreached = false;
function showBanner() {
  const waiting = session.pending.length;
  if (unreached) banner(`The annotator cannot be reached. ${waiting === 1 ? 'Your last step is' : `Your last ${waiting} steps are`} kept here and sent again.`);
  else if (session.heldBy !== null) banner(`${session.heldBy} works on this photograph.`, 'Take it over', () => session.takeOver());
  else banner(null);
}
session.addEventListener('unreached', () => { unreached = true; showBanner(); });
session.addEventListener('reached', () => { unreached = false; showBanner(); });
session.addEventListener('held', showBanner);
session.addEventListener('open', showBanner);
session.addEventListener('pending', () => byId('waiting').classList.toggle('on', session.pending.length > 0));
addEventListener('beforeunload', (e) => { if (session.pending.length) e.preventDefault(); });
addEventListener('pagehide', () => session.leave());
addEventListener('pageshow', (e) => { if (e.persisted) location.reload(); });
addEventListener('hashchange', () => {
  const id = Number(new URLSearchParams(location.hash.slice(1)).get('image'));
  if (id && id !== session.image?.id) session.open(id);
});

// Light and dark

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  stage.draw();
}
const dark = matchMedia('(prefers-color-scheme: dark)');
setTheme(localStorage.getItem('saywhere-theme') ?? (dark.matches ? 'dark' : 'light'));
byId('theme').addEventListener('click', () => localStorage.setItem('saywhere-theme', document.documentElement.dataset.theme));
dark.addEventListener('change', () => { if (!localStorage.getItem('saywhere-theme')) setTheme(dark.matches ? 'dark' : 'light'); });

session.start().catch((error) => session.notice(error.message)).finally(() => { document.documentElement.dataset.ready = 'true'; canvas.focus(); });
