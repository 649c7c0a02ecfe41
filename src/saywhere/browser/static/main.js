// The page: buttons, lists, files.

import { download, toCoco } from './coco.js';
import { formatNumber, setName, t } from './i18n.js';
import { Client } from './inference/client.js';
import { Input } from './input.js';
import { isolate } from './isolate.js';
import { Session } from './session.js';
import { Stage } from './stage.js';

const $ = (id) => document.getElementById(id);

function fill(list, items, entry) {
  list.replaceChildren(...items.map((item) => {
    const { text, colour, current, select, remove } = entry(item), row = document.createElement('li'), button = document.createElement('button');
    button.textContent = text;
    button.setAttribute('aria-current', current);
    button.onclick = select;
    if (colour) button.style.borderLeft = `10px solid ${colour}`;
    row.append(button);
    if (remove) {
      const bin = Object.assign(document.createElement('button'), { textContent: '×', onclick: remove });
      setName(bin, t('objects.delete-named', { name: text }));
      row.append(bin);
    }
    return row;
  }));
}

const whereComputed = ({ backend, threads }) => (backend === 'webgpu' ? 'WebGPU' : t('status.wasm', { count: threads }));

/** How long the last mask took, or else the image. */
function timeTaken({ image, object, encodeMs }) {
  const inMs = (value) => formatNumber(value, 0);
  if (object?.mask) return [t('status.took', { ms: inMs(object.mask.ms) })];
  return image ? [t('status.encoded', { ms: inMs(encodeMs) })] : [];
}

function show(session, input) {
  const { image, object, facts } = session;
  document.body.dataset.busy = session.busy ? 'yes' : '';
  document.body.dataset.ready = facts ? 'yes' : '';
  $('empty').hidden = session.images.length > 0;
  fill($('images'), session.images, (each) => ({
    text: each.objects.length ? `${each.name} (${each.objects.length})` : each.name, current: each === image, select: () => session.show(each),
  }));
  fill($('objects'), image?.objects ?? [], (each) => ({
    text: each.label, colour: session.colourOf(each.label), current: each === object,
    select: () => session.select(each), remove: () => session.remove(each),
  }));
  fill($('labels'), session.labels, (each) => ({
    text: each, colour: session.colourOf(each), current: each === (object?.label ?? session.label), select: () => session.setLabel(each),
  }));
  for (const name of ['click', 'box']) $(name).setAttribute('aria-pressed', input.tool === name);
  $('undo').disabled = !image?.done.length;
  $('redo').disabled = !image?.undone.length;
  $('larger').disabled = $('smaller').disabled = !(object?.mask?.count > 1);
  $('remove').disabled = $('finish').disabled = !object;
  $('export').disabled = !session.images.some((each) => each.objects.length);
  if (facts) $('backend').value = facts.backend;
  $('status').textContent = session.message || (facts ? [whereComputed(facts), ...timeTaken(session)].join('; ') : t('status.loading'));
}

const isThere = (path) => fetch(path, { method: 'HEAD' }).then((answer) => answer.ok, () => false);

async function start() {
  await isolate();
  const session = new Session(new Client()), stage = new Stage($('canvas'), session);
  const step = (by) => {
    const next = session.images[session.images.indexOf(session.image) + by];
    if (next) session.show(next);
  };
  const acts = {
    undo: () => session.undo(), redo: () => session.redo(), larger: () => session.choose(1), smaller: () => session.choose(-1),
    finish: () => session.finish(), remove: () => session.remove(), fit: () => { stage.fit(); stage.draw(); },
    box: () => { input.tool = 'box'; session.changed(); }, click: () => { input.tool = 'click'; session.changed(); },
    next: () => step(1), previous: () => step(-1),
    export: () => {
      if ($('export').disabled) return;
      download('annotations.json', JSON.stringify(toCoco(session)));
      session.isExported = true;
    },
  };
  const input = new Input(stage, session, (name) => acts[name]());
  for (const name of Object.keys(acts)) if ($(name)) $(name).onclick = acts[name];
  $('files').onchange = ({ target }) => { session.add([...target.files]); target.value = ''; };
  addEventListener('dragover', (e) => e.preventDefault());
  addEventListener('drop', (e) => { e.preventDefault(); session.add([...e.dataTransfer.files].filter((file) => file.type.startsWith('image/'))); });
  $('new-label').onsubmit = (e) => {
    e.preventDefault();
    const name = $('label').value.trim();
    if (name) session.setLabel(name);
    $('label').value = '';
  };
  addEventListener('beforeunload', (e) => { if (!session.isExported) e.preventDefault(); });
  $('backend').onchange = ({ target }) => session.load(target.value);
  session.addEventListener('change', () => show(session, input));
  session.load('wasm');  // what is opened meanwhile waits for it
  $('backend').hidden = !navigator.gpu || !(await isThere('./onnxruntime/ort.webgpu.min.mjs'));
}

start();
