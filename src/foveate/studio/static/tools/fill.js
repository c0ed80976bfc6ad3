// Scribble-fill: a scribble for each class, and every undecided pixel goes to the nearest one over the image's edges.

import { Problem, inWords, post } from "../base/api.js";
import { say } from "../base/dialog.js";
import { handle, strokeTwice, trace } from "./desk.js";
import { propose } from "./proposal.js";

/** @typedef {import("../labels/polygon.js").Point} Point */
/** @typedef {import("../canvas/pointer.js").Press} Press */
/** @typedef {{label: string, points: Point[], width: number}} Scribble label '': stays undecided */

export class ScribbleFill {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.name = "fill";
    this.title = "Scribble-fill";
    this.cursor = /** @type {const} */ ("crosshair");
    /** @type {Scribble[]} */
    this.scribbles = [];
    /** @type {Scribble | null} */
    this.current = null;
    /** @type {import("../labels/document.js").WireTiles | null} */
    this.tiles = null;
    this.asked = 0;
    /** The request that is on its way. @type {Promise<void> | null} */
    this.waiting = null;
    this.takes = true;
  }

  hint() {
    const kinds = this.numbers().length;
    if (!this.scribbles.length) return "Drag a scribble over each class; with Alt, over what stays undecided";
    if (kinds < 2) return "Choose another class and drag a scribble over it";
    return this.tiles ? "N takes the fill, Esc drops it; more scribbles correct it" : "Filling …";
  }

  drags() {
    return true;
  }

  /** The different scribbles: a number for each class, or for each scribble where objects are told apart. @returns {string[]} */
  numbers() {
    const { objects } = this.desk.settings;
    if (objects) return this.scribbles.map(({ label }) => label);
    return [...new Set(this.scribbles.map(({ label }) => label))];
  }

  /** @param {Scribble} scribble @param {number} index */
  numberOf(scribble, index) {
    return 1 + (this.desk.settings.objects ? index : this.numbers().indexOf(scribble.label));
  }

  /** @param {Press} press */
  down(press) {
    const label = this.desk.needLabel();
    if (label === null) return;
    const width = Math.max(3, Math.round(this.desk.settings.diameter / 5));
    this.current = { label: press.alt ? "" : label, points: [press.at], width };
  }

  /** @param {Press} press */
  move(press) {
    if (!this.current) return;
    const last = this.current.points[this.current.points.length - 1];
    if (Math.hypot(press.at.x - last.x, press.at.y - last.y) < 1) return;
    this.current.points.push(press.at);
    this.desk.redrawTools();
  }

  up() {
    if (!this.current) return;
    this.scribbles.push(this.current);
    this.current = null;
    this.request();
  }

  /** Ask for the fill of all scribbles; the answer to an older request is left alone. */
  request() {
    this.asked += 1;
    const { asked, desk } = this;
    desk.redrawTools();
    desk.onchange();
    if (this.numbers().length < 2) {
      this.tiles = this.waiting = null;
      propose(desk, null, new Map());
      return;
    }
    const { width, height } = desk.labels;
    const pixel = (/** @type {Point} */ { x, y }) => [Math.max(0, Math.min(width - 1, Math.floor(x))), Math.max(0, Math.min(height - 1, Math.floor(y)))];
    const scribbles = this.scribbles.map((one, i) => ({ number: this.numberOf(one, i), points: one.points.map(pixel), width: one.width }));
    this.waiting = post(`pictures/${desk.id}/fill`, { scribbles, box: this.box() }).then(
      ({ tiles }) => {
        if (asked !== this.asked) return;
        this.tiles = tiles;
        const names = this.numbers();
        propose(desk, tiles, new Map(names.flatMap((label, i) => (label ? [[i + 1, label]] : []))));
        desk.onchange();
      },
      (error) => {
        if (asked === this.asked) say(inWords(error), error instanceof Problem && error.status === 422 ? "info" : "bad");
      },
    ).finally(() => {
      if (asked === this.asked) this.waiting = null;
    });
  }

  /** What is in sight if the view is zoomed in, grown to hold all scribbles; null for the whole image. */
  box() {
    const { view, labels } = this.desk;
    if (!view) return null;
    const { x0, y0, x1, y1 } = view.visible();
    if (x0 <= 0 && y0 <= 0 && x1 >= labels.width && y1 >= labels.height) return null;
    const points = this.scribbles.flatMap(({ points: all }) => all);
    const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
    return [
      Math.max(0, Math.floor(Math.min(x0, ...xs))),
      Math.max(0, Math.floor(Math.min(y0, ...ys))),
      Math.min(labels.width, Math.ceil(Math.max(x1, ...xs)) + 1),
      Math.min(labels.height, Math.ceil(Math.max(y1, ...ys)) + 1),
    ];
  }

  /** Take the fill, after the answer that is on its way. */
  async finish() {
    const { waiting } = this;
    if (waiting) await this.desk.exclusively(() => waiting);
    this.take();
  }

  take() {
    const { desk, tiles } = this;
    if (!tiles) return;
    const change = desk.labels.change("Scribble-fill");
    /** @type {Map<number, number>} */
    const numbers = new Map();
    this.numbers().forEach((label, i) => {
      if (label) numbers.set(i + 1, desk.numberFor(change, label, true));
    });
    change.stamp(tiles, (value) => numbers.get(value) ?? 0, desk.undecided);
    desk.active = 0;
    this.clear();
    if (!desk.commit(change)) say("Nothing was undecided there, so nothing was filled.");
  }

  clear() {
    this.asked += 1;
    this.scribbles = [];
    this.current = null;
    this.tiles = this.waiting = null;
    propose(this.desk, null, new Map());
    this.desk.redrawTools();
  }

  back() {
    if (!this.scribbles.length) return false;
    this.scribbles.pop();
    this.request();
    return true;
  }

  drop() {
    if (!this.scribbles.length && !this.current) return false;
    this.clear();
    this.desk.onchange();
    return true;
  }

  /** @param {CanvasRenderingContext2D} context */
  draw(context) {
    const { view, color } = this.desk;
    if (!view) return;
    for (const { label, points, width } of this.current ? [...this.scribbles, this.current] : this.scribbles) {
      const tone = label ? color(label) : "#ffffff";
      trace(context, view, points, false);
      strokeTwice(context, tone, Math.max(2, width * view.scale));
      if (points.length === 1) handle(context, view, points[0], tone, Math.max(3, (width / 2) * view.scale));
    }
  }
}
