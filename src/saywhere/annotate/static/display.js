// How the image and its objects are shown: colours, names, brightness, and which objects are hidden or locked. The
// browser keeps it; nothing of it is an annotation.

import { setName, t } from './i18n.js';

const byId = (id) => document.getElementById(id);
const STORED = 'saywhere-display';
const RANGES = { opacity: 100, brightness: 1, contrast: 1 };  // of a slider's value to the setting's

export class Display {
  #hidden = new Map(); #locked = new Map();  // sets of objects' numbers, by the image's number

  constructor(session, stage) {
    Object.assign(this, { session, stage });
    Object.assign(stage.settings, JSON.parse(localStorage.getItem(STORED) ?? '{}'));
    for (const [name, unit] of Object.entries(RANGES)) byId(name).addEventListener('input', (e) => this.set({ [name]: e.target.value / unit }));
    for (const name of ['contour', 'others', 'names']) byId(name).addEventListener('change', (e) => this.set({ [name]: e.target.checked }));
    byId('colours').addEventListener('change', (e) => this.set({ colours: e.target.value }));
    byId('plain-image').addEventListener('click', () => this.set({ brightness: 100, contrast: 100 }));
    session.addEventListener('open', () => this.#open());
    session.addEventListener('project', () => this.#show());
  }

  set(change) {
    Object.assign(this.stage.settings, change);
    localStorage.setItem(STORED, JSON.stringify(this.stage.settings));
    this.#show();
    this.stage.draw();
  }

  #show() {
    const { settings } = this.stage, { session } = this;
    for (const [name, unit] of Object.entries(RANGES)) byId(name).value = unit * settings[name];
    for (const name of ['contour', 'others', 'names']) byId(name).checked = settings[name];
    byId('colours').value = settings.colours;
    byId('plain-image').hidden = settings.brightness === 100 && settings.contrast === 100;
    if (session.colouring === settings.colours) return;
    session.colouring = settings.colours;
    if (session.state) session.emit('state');
  }

  /** Hide everything that is drawn on the image, or show it again. Not kept: a page opens with masks shown. */
  toggleMasks() {
    this.stage.masksHidden = !this.stage.masksHidden;
    this.stage.draw();
  }

  toggleContour() {
    this.set({ contour: !this.stage.settings.contour });
  }

  // Single objects

  #open() {
    const id = this.session.row?.id;
    for (const sets of [this.#hidden, this.#locked]) if (!sets.has(id)) sets.set(id, new Set());
    this.stage.hidden = this.#hidden.get(id);
    this.session.locked = this.#locked.get(id);
  }

  toggleHidden(object = this.session.object) {
    if (object) this.#toggle(this.stage.hidden, object.id);
  }

  toggleLocked(object = this.session.object) {
    if (object) this.#toggle(this.session.locked, object.id);
  }

  #toggle(set, id) {
    if (!set.delete(id)) set.add(id);
    this.session.emit('state');
  }

  /** The buttons in an object's row that hide and lock it. */
  buttons(object) {
    const button = (set, icons, name, run) => {
      const made = document.createElement('button'), pressed = set.has(object.id);
      made.innerHTML = `<svg><use href="#i-${icons[Number(pressed)]}"/></svg>`;
      made.setAttribute('aria-pressed', pressed);
      setName(made, name);
      made.addEventListener('click', (e) => { e.stopPropagation(); run(object); });
      return made;
    };
    return [
      button(this.stage.hidden, ['eye', 'hidden'], t('objects.hide'), (one) => this.toggleHidden(one)),
      button(this.session.locked, ['unlocked', 'locked'], t('objects.lock'), (one) => this.toggleLocked(one)),
    ];
  }
}
