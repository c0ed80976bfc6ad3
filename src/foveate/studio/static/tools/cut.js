// Box-cut: a box around an object, and the server cuts it out; clicks add to the region or take away from it.

import { inWords, post } from "../base/api.js";
import { say } from "../base/dialog.js";
import { eachRun } from "../labels/document.js";
import { handle, strokeTwice, trace } from "./desk.js";
import { propose } from "./proposal.js";

/** @typedef {import("../labels/polygon.js").Point} Point */
/** @typedef {import("../canvas/pointer.js").Press} Press */

export class BoxCut {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.name = "cut";
    this.title = "Box-cut";
    this.cursor = /** @type {const} */ ("crosshair");
    /** @type {Point | null} */
    this.start = null;
    /** @type {Point | null} */
    this.end = null;
    /** Pixels, x1 and y1 not inside. @type {[number, number, number, number] | null} */
    this.box = null;
    /** @type {Point[]} */
    this.add = [];
    /** @type {Point[]} */
    this.remove = [];
    /** The clicks in their order. @type {("add" | "remove")[]} */
    this.order = [];
    /** @type {import("../labels/document.js").WireTiles | null} */
    this.tiles = null;
    this.asked = 0;
    /** The request that is on its way. @type {Promise<void> | null} */
    this.waiting = null;
    this.takes = true;
  }

  hint() {
    if (!this.box) return "Drag a box around the object";
    if (!this.tiles) return "Cutting …";
    if (!Object.keys(this.tiles).length) return "Nothing was found: click on the object, or drop the box with Esc";
    return "Click adds, Alt or right click takes away; N takes the region, Esc drops it";
  }

  drags() {
    return !this.box;
  }

  /** @param {Press} press */
  down(press) {
    if (this.desk.needLabel() === null) return;
    if (!this.box) {
      this.start = this.end = press.at;
      return;
    }
    const [x0, y0, x1, y1] = this.box;
    const at = { x: Math.floor(press.at.x), y: Math.floor(press.at.y) };
    if (at.x < x0 || at.y < y0 || at.x >= x1 || at.y >= y1) {
      say("That is outside of the box: N takes the region, Esc drops it.");
      return;
    }
    const kind = press.alt ? "remove" : "add";
    this[kind].push(at);
    this.order.push(kind);
    this.request();
  }

  /** @param {Press} press */
  move(press) {
    if (!this.start) return;
    this.end = press.at;
    this.desk.redrawTools();
  }

  up() {
    const { start, end, desk } = this;
    this.start = this.end = null;
    if (!start || !end) return;
    const { width, height } = desk.labels;
    const into = (/** @type {number} */ v, /** @type {number} */ size) => Math.max(0, Math.min(size, v));
    const box = /** @type {[number, number, number, number]} */ ([
      into(Math.floor(Math.min(start.x, end.x)), width),
      into(Math.floor(Math.min(start.y, end.y)), height),
      into(Math.ceil(Math.max(start.x, end.x)), width),
      into(Math.ceil(Math.max(start.y, end.y)), height),
    ]);
    if (box[2] - box[0] < 3 || box[3] - box[1] < 3) {
      say("Drag a box of at least 3 by 3 pixels around the object.");
      desk.redrawTools();
      return;
    }
    this.box = box;
    this.request();
  }

  request() {
    const { desk, box, add, remove } = this;
    this.asked += 1;
    const { asked } = this;
    const pairs = (/** @type {Point[]} */ points) => points.map(({ x, y }) => [x, y]);
    desk.onchange();
    desk.redrawTools();
    this.waiting = post(`pictures/${desk.id}/cut`, { box, add: pairs(add), remove: pairs(remove) }).then(
      ({ tiles }) => {
        if (asked !== this.asked) return;
        this.tiles = tiles;
        propose(desk, tiles, new Map([[1, desk.settings.label ?? ""]]));
        desk.onchange();
      },
      (error) => {
        if (asked !== this.asked) return;
        say(inWords(error), "bad");
        this.clear();
      },
    ).finally(() => {
      if (asked === this.asked) this.waiting = null;
    });
  }

  /** Take the region, after the answer that is on its way. */
  async finish() {
    const { waiting } = this;
    if (waiting) await this.desk.exclusively(() => waiting);
    await this.take();
  }

  async take() {
    const { desk, tiles } = this;
    if (!tiles) return;
    const label = desk.needLabel();
    if (label === null) return;
    this.clear();
    const where = desk.settings.keep ? desk.undecided : null;
    await desk.paintOver(
      "Box-cut",
      (emit) => eachRun(desk.labels.paint, tiles, (_, y, x0, x1) => emit(y, x0, x1)),
      (change) => desk.numberFor(change, label, true),
      where,
    );
  }

  clear() {
    this.asked += 1;
    this.start = this.end = this.box = this.tiles = this.waiting = null;
    this.add = [];
    this.remove = [];
    this.order = [];
    propose(this.desk, null, new Map());
    this.desk.redrawTools();
    this.desk.onchange();
  }

  back() {
    const last = this.order.pop();
    if (last) {
      this[last].pop();
      this.request();
    } else if (this.box) this.clear();
    else return false;
    return true;
  }

  drop() {
    if (!this.box && !this.start) return false;
    this.clear();
    return true;
  }

  /** @param {CanvasRenderingContext2D} context */
  draw(context) {
    const { view, settings, color } = this.desk;
    if (!view || !settings.label) return;
    const tone = color(settings.label);
    const [a, b] = this.box ? [{ x: this.box[0], y: this.box[1] }, { x: this.box[2], y: this.box[3] }] : [this.start, this.end];
    if (a && b) {
      trace(context, view, [a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }], true);
      strokeTwice(context, tone);
    }
    for (const { x, y } of this.add) handle(context, view, { x: x + 0.5, y: y + 0.5 }, tone, 5);
    for (const { x, y } of this.remove) handle(context, view, { x: x + 0.5, y: y + 0.5 }, "#ffffff", 5);
  }
}
