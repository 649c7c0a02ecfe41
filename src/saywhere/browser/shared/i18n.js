// Interface texts in several languages, of the annotator and of the page that needs no server. The texts are in
// i18n/LANGUAGE.json of each, one file for each language.
//
// To show a text: choose a key 'part.name', add it to all five files (keys are sorted; the first part is the part of
// the page), then write t('part.name') in a module, or data-i18n="part.name" on an element of a page. Values take the
// place of {name} in the text: t('list.done', { done: 3 }). A text that depends on a number has a form for each plural
// category of its language ({"one": ..., "other": ...}), chosen by the value `count`. Numbers are written as the
// language writes them. tests/annotate/test_annotate_languages.py checks keys, values and that no text is in
// another place.

export const LANGUAGES = { en: 'English', de: 'Deutsch', fr: 'Français', es: 'Español', zh: '中文' };
const STORED = 'saywhere-language';

/** The language that was chosen here, else the first one of the browser's that there is, else English. */
function preferredLanguage() {
  const preferred = [localStorage.getItem(STORED), ...navigator.languages].map((name) => (name ?? '').split('-')[0].toLowerCase());
  return preferred.find((name) => name in LANGUAGES) ?? 'en';
}

export const language = preferredLanguage();
const response = await fetch(new URL(`./i18n/${language}.json`, import.meta.url));
const texts = await response.json();
const plurals = new Intl.PluralRules(language);

/** A number as the language writes it. */
export function formatNumber(value, digits = 3) {
  return value.toLocaleString(language, { maximumFractionDigits: digits });
}

/** A time, in ms since 1970, as the language writes it. */
export function formatTime(at) {
  return new Date(at).toLocaleString(language, { dateStyle: 'medium', timeStyle: 'short' });
}

/** The text of a key, with `values` in the place of its {names}; `count` chooses the plural form. */
export function t(key, values = {}) {
  const entry = texts[key] ?? key;
  const text = typeof entry === 'string' ? entry : entry[plurals.select(values.count)] ?? entry.other;
  return text.replace(/\{(\w+)\}/g, (placeholder, name) => {
    const value = values[name] ?? placeholder;
    return typeof value === 'number' ? formatNumber(value) : value;
  });
}

/** Write the texts that elements name: data-i18n, data-i18n-title, -aria-label, -placeholder; -name is title and label. */
export function translate(root) {
  for (const element of root.querySelectorAll('*')) {
    for (const { name, value } of [...element.attributes]) {
      if (name === 'data-i18n') element.textContent = t(value);
      else if (name === 'data-i18n-name') setName(element, t(value));
      else if (name.startsWith('data-i18n-')) element.setAttribute(name.slice('data-i18n-'.length), t(value));
    }
  }
}

/** What a control without text is called: shown where the pointer rests, and read by screen readers. */
export function setName(element, text) {
  element.title = element.ariaLabel = text;
}

function offerLanguages(select) {
  select.replaceChildren(...Object.entries(LANGUAGES).map(([value, name]) => {
    const option = new Option(name, value, value === language, value === language);
    option.lang = value;
    return option;
  }));
  select.addEventListener('change', () => {
    localStorage.setItem(STORED, select.value);
    location.reload();
  });
}

document.documentElement.lang = language;
translate(document);
for (const select of document.querySelectorAll('select.language')) offerLanguages(select);
