// A choice that the page made for a person, or asks for: what was done, and buttons with keys for what else was possible.

const KEYS = ['.', ','];

export class Offers {
  #choices = [];

  constructor(session, element) {
    this.session = session;
    this.element = element;
    session.addEventListener('offer', ({ detail }) => this.#show(detail));
  }

  /** Take the choice with this number; false where there is none. */
  take(number) {
    const choice = this.#choices[number];
    if (!choice) return false;
    this.session.offer(null);
    choice[1]();
    return true;
  }

  #show(offer) {
    this.#choices = offer?.choices ?? [];
    this.element.hidden = offer === null;
    const text = document.createElement('span');
    text.textContent = offer?.text ?? '';
    this.element.replaceChildren(text, ...this.#choices.map(([name], i) => this.#button(name, i)));
  }

  #button(name, number) {
    const button = document.createElement('button'), key = document.createElement('kbd');
    key.textContent = KEYS[number];
    button.append(name, ' ', key);
    button.addEventListener('click', () => { this.take(number); document.getElementById('canvas').focus(); });
    return button;
  }
}
