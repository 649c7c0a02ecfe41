// The hint that a person sees at first, until it is dismissed; the browser stores that.

const STORED = 'saywhere-first-run';

export function showFirstRun(canvas) {
  const hint = document.getElementById('first-run');
  hint.hidden = localStorage.getItem(STORED) !== null;
  document.getElementById('first-run-close').addEventListener('click', () => {
    localStorage.setItem(STORED, 'seen');
    hint.hidden = true;
    canvas.focus();
  });
}
