// What is wrong with the page as it is laid out: panels that overlap; controls that are cut off, covered or outside.
() => {
  const faults = [], round = Math.round, scrollWidth = document.documentElement.scrollWidth;
  const name = (e) => e.id || e.title || e.textContent.trim().slice(0, 20) || e.tagName;
  const shown = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('[inert]');
  const dialog = document.querySelector('dialog[open]'), drawer = document.getElementById('scrim').checkVisibility();
  if (scrollWidth > innerWidth) faults.push(`the page is ${scrollWidth} wide`);

  const panels = dialog ? [] : drawer ? ['#images', '#side'] : ['#images', '#side', '#bar-top', '#stage', '#phrase-form'];
  const boxes = panels.map((each) => document.querySelector(each)).filter(shown).map((e) => [e.id, e.getBoundingClientRect()]);
  for (const [i, [a, p]] of boxes.entries()) {
    for (const [b, q] of boxes.slice(i + 1)) {
      const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (width > 1 && height > 1) faults.push(`${a} and ${b} overlap by ${round(width)} x ${round(height)}`);
    }
  }

  const controls = 'button, input, select, textarea, summary, a[href], output, [tabindex="0"]';
  for (const e of (dialog ?? document).querySelectorAll(controls)) {
    if (!shown(e)) continue;
    const box = e.getBoundingClientRect(), x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
    if (box.width < 1 || box.height < 1) { faults.push(`${name(e)} has no size`); continue; }
    let scrolledAway = false;
    for (let around = e.parentElement; around !== document.documentElement; around = around.parentElement) {
      if (getComputedStyle(around).overflow === 'visible') continue;
      const edge = around.getBoundingClientRect();
      if (box.left < edge.left - 1 || box.right > edge.right + 1) faults.push(`${name(e)} is cut off by ${name(around)}`);
      if (y < edge.top || y > edge.bottom) scrolledAway = true;
    }
    if (scrolledAway) continue;
    if (box.left < -1 || box.right > innerWidth + 1 || y < 0 || y > innerHeight) {
      faults.push(`${name(e)} is outside`);
      continue;
    }
    const hit = document.elementFromPoint(x, y);
    if (!e.contains(hit) && !hit?.contains(e)) faults.push(`${name(e)} is covered by ${hit && name(hit)}`);
    if (e.tagName === 'BUTTON' && e.scrollWidth > e.clientWidth + 1) faults.push(`the text of ${name(e)} is cut off`);
  }

  for (const e of document.querySelectorAll('*')) {
    if (!e.clientWidth || e.scrollWidth <= e.clientWidth + 1 || !shown(e)) continue;
    const scrolls = ['auto', 'scroll'].includes(getComputedStyle(e).overflowX);
    if (scrolls) faults.push(`${name(e)} scrolls sideways by ${e.scrollWidth - e.clientWidth}`);
  }
  return faults;
}
