// The lasso: a line drawn by hand around pixels that are added to the object or taken away.

const STEP = 2;           // CSS pixels between the points of the line
const MAX_POINTS = 4000;
const SMALLEST = 12;      // CSS pixels that the pointer must move; a shorter line is nothing

export class Lasso {
  constructor(session, stage) {
    Object.assign(this, { session, stage });
  }

  begin(at, { positive }) {
    if (!positive && !this.session.object) return false;  // there is nothing to take away
    this.length = 0;
    this.stage.gesture = { kind: 'lasso', paint: positive, points: [[at.x, at.y]] };
    return true;
  }

  move(at) {
    const { points } = this.stage.gesture, [x, y] = points.at(-1), distance = Math.hypot(at.x - x, at.y - y) * this.stage.scale;
    if (distance < STEP || points.length >= MAX_POINTS) return;
    this.length += distance;
    points.push([at.x, at.y]);
  }

  end() {
    const { paint, points } = this.stage.gesture;
    this.stage.gesture = null;
    if (points.length < 3 || this.length < SMALLEST) return;
    this.session.act({ kind: 'lasso', paint, points: points.map(([x, y]) => [x + 0.5, y + 0.5].map((v) => Math.round(v * 100) / 100)) });
  }
}
