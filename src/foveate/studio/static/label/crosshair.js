// The cross-hair: the pointer of those who work with keys.

/** @typedef {import("../labels/polygon.js").Point} Point */

export class CrossHair {
  /**
   * @param {import("../canvas/stage.js").Stage} stage
   * @param {() => Point | null} pointer where the pointer was last
   * @param {{press: (kind: "down" | "move" | "up", at: Point, alt: boolean) => void, drags: (at: Point) => boolean, moved: (at: Point) => void}} target
   */
  constructor(stage, pointer, target) {
    this.stage = stage;
    this.pointer = pointer;
    this.target = target;
    /** The centre of a pixel; null while it is not used. @type {Point | null} */
    this.at = null;
    this.pressed = false;
  }

  /** Move by pixels of the screen, at least one of the image; the view follows. @param {number} dx @param {number} dy @param {boolean} far */
  move(dx, dy, far) {
    const { view } = this.stage;
    const at = this.appear();
    const step = (far ? 10 : 1) * Math.max(1, Math.round(1 / view.scale));
    this.at = {
      x: Math.max(0.5, Math.min(view.imageWidth - 0.5, at.x + dx * step)),
      y: Math.max(0.5, Math.min(view.imageHeight - 0.5, at.y + dy * step)),
    };
    const before = { x: view.x, y: view.y };
    view.show(this.at.x, this.at.y);
    if (view.x !== before.x || view.y !== before.y) this.stage.moved();
    if (this.pressed) this.target.press("move", this.at, false);
    this.target.moved(this.at);
    this.stage.redrawTools();
  }

  /** @returns {Point} */
  appear() {
    if (!this.at) {
      const { view } = this.stage;
      const from = this.pointer() ?? view.toImage(view.width / 2, view.height / 2);
      const into = (/** @type {number} */ v, /** @type {number} */ size) => Math.max(0, Math.min(size - 1, Math.floor(v))) + 0.5;
      this.at = { x: into(from.x, view.imageWidth), y: into(from.y, view.imageHeight) };
    }
    return this.at;
  }

  /** Enter: a click, or the beginning or end of a drag. @param {boolean} alt */
  place(alt) {
    const at = this.appear();
    if (this.pressed) {
      this.pressed = false;
      this.target.press("up", at, alt);
    } else {
      this.pressed = this.target.drags(at);
      this.target.press("down", at, alt);
      if (!this.pressed) this.target.press("up", at, alt);
    }
    this.target.moved(at);
    this.stage.redrawTools();
  }

  /** Put it away, as when the pointer moves or the tool changes. */
  hide() {
    this.at = null;
    this.pressed = false;
  }

  /** @param {CanvasRenderingContext2D} context */
  draw(context) {
    if (!this.at) return;
    const { view } = this.stage;
    const { x, y } = view.toScreen(this.at.x, this.at.y);
    for (const [color, width] of /** @type {[string, number][]} */ ([["rgba(0, 0, 0, 0.7)", 3], ["#ffffff", 1]])) {
      context.beginPath();
      for (const [a, b] of [[-Math.max(view.width, view.height), -5], [5, Math.max(view.width, view.height)]]) {
        context.moveTo(x + a, y);
        context.lineTo(x + b, y);
        context.moveTo(x, y + a);
        context.lineTo(x, y + b);
      }
      context.strokeStyle = color;
      context.lineWidth = width;
      context.globalAlpha = 0.75;
      context.stroke();
      context.globalAlpha = 1;
    }
  }
}
