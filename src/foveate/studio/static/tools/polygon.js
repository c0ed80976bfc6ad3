// Polygon: points by clicks or by tracing; it stays an outline until something is painted over it.

import { randomKey } from "../base/random.js";
import { polygonSpans } from "../labels/polygon.js";
import { simplify } from "../labels/simplify.js";
import { handle, strokeTwice, trace } from "./desk.js";

/** @typedef {import("../labels/polygon.js").Point} Point */
/** @typedef {import("../canvas/pointer.js").Press} Press */

const NEAR = 9; // CSS pixels from the first point that close the polygon
const TRACED = 3; // CSS pixels between points of a traced line

export class Polygon {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.name = "polygon";
    this.title = "Polygon";
    this.cursor = /** @type {const} */ ("crosshair");
    /** @type {Point[]} */
    this.points = [];
    /** Where a traced piece begins; -1 while none is traced. */
    this.traced = -1;
    this.takes = true;
  }

  hint() {
    if (!this.points.length) return "Click the corners; hold Shift and drag to trace";
    if (this.points.length < 3) return "Click the next corner; Backspace removes the last one, Esc drops the polygon";
    return "Click the first corner, double-click or press N to close";
  }

  drags() {
    return false;
  }

  /** @param {Press} press */
  down(press) {
    if (this.desk.needLabel() === null) return;
    if (press.alt) {
      this.back();
      return;
    }
    const at = this.inside(press.at);
    if (this.points.length > 2 && (press.double || this.isNear(at, this.points[0]))) {
      this.finish();
      return;
    }
    this.points.push(at);
    this.traced = press.shift ? this.points.length - 1 : -1;
    this.desk.redrawTools();
  }

  /** @param {Press} press */
  move(press) {
    if (!this.points.length || !press.shift) return;
    if (this.traced < 0) this.traced = this.points.length - 1;
    const last = this.points[this.points.length - 1];
    const at = this.inside(press.at);
    const scale = this.desk.view?.scale ?? 1;
    if (Math.hypot(at.x - last.x, at.y - last.y) * scale >= TRACED) this.points.push(at);
    this.desk.redrawTools();
  }

  up() {
    if (this.traced >= 0) {
      const tolerance = 0.75 / Math.max(1, this.desk.view?.scale ?? 1) + 0.25;
      this.points = [...this.points.slice(0, this.traced), ...simplify(this.points.slice(this.traced), tolerance)];
    }
    this.traced = -1;
    this.desk.onchange();
  }

  finish() {
    const { desk, points } = this;
    if (points.length < 3) return;
    const label = desk.needLabel();
    if (label === null) return;
    this.points = [];
    this.traced = -1;
    if (desk.settings.keep) {
      const { width, height } = desk.labels;
      const fresh = (/** @type {import("../labels/document.js").Change} */ change) => desk.numberFor(change, label, true);
      void desk.paintOver("Polygon", (emit) => polygonSpans(points, width, height, emit), fresh, desk.undecided);
      return;
    }
    const change = desk.labels.change("Polygon");
    const key = `n${randomKey()}`;
    const corners = points.map(({ x, y }) => /** @type {[number, number]} */ ([x, y]));
    change.setOutlines([...desk.labels.outlines, { key, kind: "polygon", label, group: null, flags: {}, points: corners }]);
    desk.commit(change);
    desk.redrawTools();
  }

  back() {
    if (!this.points.length) return false;
    this.points.pop();
    this.traced = -1;
    this.desk.redrawTools();
    return true;
  }

  drop() {
    if (!this.points.length) return false;
    this.points = [];
    this.traced = -1;
    this.desk.redrawTools();
    return true;
  }

  /** @param {CanvasRenderingContext2D} context @param {Point | null} pointer */
  draw(context, pointer) {
    const { view, settings, color } = this.desk;
    if (!view || !this.points.length || !settings.label) return;
    const tone = color(settings.label);
    trace(context, view, pointer ? [...this.points, this.inside(pointer)] : this.points, false);
    strokeTwice(context, tone);
    const closes = this.points.length > 2 && pointer && this.isNear(pointer, this.points[0]);
    for (const point of this.points.slice(1)) handle(context, view, point, tone, 3);
    handle(context, view, this.points[0], closes ? "#ffffff" : tone, closes ? 7 : 5);
  }

  /** The point moved into the image, to hundredths of a pixel. @param {Point} point @returns {Point} */
  inside(point) {
    const { width, height } = this.desk.labels;
    const into = (/** @type {number} */ v, /** @type {number} */ size) =>
      Math.round(100 * Math.max(0, Math.min(size - 1, v))) / 100;
    return { x: into(point.x, width), y: into(point.y, height) };
  }

  /** @param {Point} a @param {Point} b */
  isNear(a, b) {
    return Math.hypot(a.x - b.x, a.y - b.y) * (this.desk.view?.scale ?? 1) < NEAR;
  }
}
