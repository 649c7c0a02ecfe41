// Where the window is too narrow for three columns, the images and the panel on the right are drawers over the image.

const byId = (id) => document.getElementById(id);
const NAMES = ['images', 'side'];

export class Drawers {
  constructor(session, canvas) {
    this.canvas = canvas;
    for (const name of NAMES) byId(`toggle-${name}`).addEventListener('click', () => this.#set(name, !this.#isOpen(name)));
    // The scrim covers what is not the drawer: a tap there closes the drawer and does nothing else.
    byId('scrim').addEventListener('click', () => this.close());
    addEventListener('keydown', (e) => {
      if (e.key !== 'Escape' || document.querySelector('dialog[open]') || !this.close()) return;
      e.preventDefault();
      e.stopImmediatePropagation();
    }, { capture: true });
    session.addEventListener('opening', () => this.close());
    addEventListener('resize', () => this.#cover());
  }

  #isOpen(name) {
    return byId(name).classList.contains('open');
  }

  #set(name, open) {
    for (const each of NAMES) {
      byId(each).classList.toggle('open', open && each === name);
      byId(`toggle-${each}`).setAttribute('aria-expanded', open && each === name);
    }
    this.#cover();
    if (open) byId(name).querySelector('a[href], button, input, [tabindex="0"]')?.focus();
  }

  /** While a drawer covers the image nothing else takes the focus; in a wide window it is no drawer. */
  #cover() {
    const covers = getComputedStyle(byId('scrim')).display !== 'none';
    document.querySelector('main').inert = covers;
    for (const name of NAMES) byId(name).inert = covers && !this.#isOpen(name);
    return covers;
  }

  /** Close the open drawer; false where none is seen open. */
  close() {
    const open = NAMES.find((name) => this.#isOpen(name));
    if (!open) return false;
    const covered = this.#cover();
    this.#set(open, false);
    if (covered) this.canvas.focus();
    return covered;
  }
}
