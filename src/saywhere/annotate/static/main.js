// Creates the parts of the page and connects them.

import { Session } from './session.js';
import { Stage } from './stage.js';
import { PointerInput } from './input.js';
import { ImageList } from './list.js';
import { ListOptions } from './list-options.js';
import { ReviewPanel } from './review.js';
import { Display } from './display.js';
import { SidePanel } from './side.js';
import { AttributeValues } from './attribute-values.js';
import { ObjectTools } from './object_tools.js';
import { PhraseForm } from './phrase.js';
import { LabelPanel } from './label-panel.js';
import { Offers } from './offer.js';
import { ExportDialog } from './export.js';
import { Drawers } from './drawers.js';
import { Instances } from './instances.js';
import { ImportDialog } from './import.js';
import { FineTuningDialog } from './finetune.js';
import { showFirstRun } from './first_run.js';
import { bindings, describeKeys, listenForKeys } from './keys.js';
import { setName, t } from './i18n.js';

const byId = (id) => document.getElementById(id);
const canvas = byId('canvas'), help = byId('help');
const session = new Session();
const stage = new Stage(canvas, session);
const input = new PointerInput(canvas, session, stage);
new ImageList(session);
new ListOptions(session);
const display = new Display(session, stage);
const side = new SidePanel(session, stage, input, display);
new ObjectTools(session, stage, canvas);
const attributes = new AttributeValues(session, canvas), review = new ReviewPanel(session, canvas);
const phrase = new PhraseForm(session, stage, canvas), labels = new LabelPanel(session, canvas);
const offers = new Offers(session, byId('offer')), instances = new Instances(session, stage, canvas);
input.take = (at) => instances.acceptAt(at);
const table = bindings({ session, stage, input, phrase, help, side, labels, offers, display, instances, attributes, review });
listenForKeys(table, { session, input, instances });

// The toolbar above the image

const press = (id, action) => byId(id).addEventListener('click', () => { action(); canvas.focus(); });
press('undo', () => session.undo());
press('redo', () => session.redo());
press('fit', () => stage.fit());
press('theme', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
byId('help-open').addEventListener('click', () => help.showModal());
byId('help-close').addEventListener('click', () => help.close());
new ExportDialog(session);
new Drawers(session, canvas);
showFirstRun(canvas);
byId('accept-narrow').addEventListener('click', () => session.flow.accept());
new ImportDialog(session);
new FineTuningDialog(session);
for (const button of document.querySelectorAll('#tools button')) {
  button.addEventListener('click', () => { input.setTool(button.dataset.tool); canvas.focus(); });
}
for (const button of document.querySelectorAll('#sign button')) {
  button.addEventListener('click', () => { input.setSign(button.dataset.sign === 'positive'); canvas.focus(); });
}
session.addEventListener('tool', () => {
  for (const button of document.querySelectorAll('#tools button')) button.setAttribute('aria-pressed', button.dataset.tool === input.tool);
  for (const button of document.querySelectorAll('#sign button')) button.setAttribute('aria-pressed', (button.dataset.sign === 'positive') === input.positive);
});
session.addEventListener('view', () => { byId('zoom').textContent = `${Math.round(100 * stage.scale)} %`; });
session.addEventListener('project', () => {
  describeKeys(table, byId('keys'));
  const button = document.querySelector('#tools [data-tool=box]');
  button.disabled = session.boxProblem !== null;
  setName(button, session.boxProblem === null ? t('tools.box') : t('tools.no-box', { problem: session.boxProblem }));
  byId('sign').hidden = !session.project.negative_clicks;
  byId('background-help').hidden = !session.project.negative_clicks;
  byId('drag-help').hidden = !session.dragsAllowed;
  document.title = `${session.project.name} · Saywhere`;
  byId('project').textContent = session.project.name;
});
for (const name of ['state', 'open', 'lock']) session.addEventListener(name, () => {
  const free = session.lockHolder === null;
  byId('undo').disabled = !(session.state?.can_undo || session.history.canUndo) || !free;
  byId('redo').disabled = !(session.state?.can_redo || session.history.canRedo) || !free;
  byId('name').textContent = session.row ? `${session.row.path}${session.image ? `  ·  ${session.image.width} × ${session.image.height}` : ''}` : session.project.name;
});

// The candidate masks of the active object

byId('smaller').addEventListener('click', () => { session.stepCandidate(-1); canvas.focus(); });
byId('larger').addEventListener('click', () => { session.stepCandidate(1); canvas.focus(); });
for (const name of ['state', 'open', 'lock']) session.addEventListener(name, () => {
  const { candidates } = session;
  byId('candidates').hidden = candidates === null;
  if (candidates === null) return;
  const { position, indices } = candidates, free = session.lockHolder === null;
  byId('candidate').textContent = `${position + 1} / ${indices.length}`;
  byId('smaller').disabled = position === 0 || !free;
  byId('larger').disabled = position === indices.length - 1 || !free;
});

// Notices

let toastTimer = 0;
session.addEventListener('notice', ({ detail }) => {
  const toast = byId('toast');
  toast.textContent = detail.text;
  toast.classList.add('shown');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toast.classList.remove('shown'), 2500 + 45 * detail.text.length);
});
function banner(text, action = null, run = null) {
  const [message, button] = byId('banner').children;
  byId('banner').hidden = text === null;
  message.textContent = text ?? '';
  button.hidden = action === null;
  button.textContent = action ?? '';
  button.onclick = run;
}
let offline = false;
function showBanner() {
  const waiting = session.pending.length;
  if (offline) banner(t('page.offline', { count: waiting }));
  else if (session.lockHolder !== null) banner(t('page.locked', { holder: session.lockHolder }), t('page.take-over'), () => session.lock.takeOver());
  else banner(null);
}
session.addEventListener('offline', () => { offline = true; showBanner(); });
session.addEventListener('online', () => { offline = false; showBanner(); });
session.addEventListener('lock', showBanner);
session.addEventListener('open', showBanner);
session.addEventListener('pending', () => byId('waiting').classList.toggle('on', session.pending.length > 0));
addEventListener('beforeunload', (e) => { if (session.pending.length) e.preventDefault(); });
addEventListener('pagehide', () => session.lock.release());
addEventListener('pageshow', (e) => { if (e.persisted) location.reload(); });
addEventListener('hashchange', () => {
  const id = Number(new URLSearchParams(location.hash.slice(1)).get('image'));
  if (id && id !== session.row?.id) session.open(id);
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
