// Brush and eraser: a round brush along the pointer's path.

import { snapped, strokeSpans } from "../labels/brush.js";
import { isExact } from "../labels/outlines.js";
import { strokeTwice } from "./desk.js";

/** @typedef {import("../labels/polygon.js").Point} Point */
/** @typedef {import("../canvas/pointer.js").Press} Press */

export class Brush {
  /** @param {import("./desk.js").Desk} desk @param {boolean} erases */
  constructor(desk, erases) {
    this.desk = desk;
    this.erases = erases;
    this.name = erases ? "erase" : "brush";
    this.title = erases ? "Eraser" : "Brush";
    this.cursor = /** @type {const} */ ("none");
    /** @type {import("../labels/document.js").Change | null} */
    this.change = null;
    /** @type {Point[]} */
    this.path = [];
    this.number = 0;
    this.later = false;
  }

  hint() {
    const { diameter, keep } = this.desk.settings;
    const size = `${diameter} px ([ and ] change it)`;
    if (this.erases) return `Drag to erase, ${size}`;
    return `Drag to paint, ${size}${keep ? "; only where nothing is decided" : ""}`;
  }

  drags() {
    return true;
  }

  /** @param {Press} press */
  down(press) {
    const { desk } = this;
    const label = this.erases ? "" : desk.needLabel();
    if (label === null || (this.erases && desk.readOnly)) return;
    this.change = desk.labels.change(this.title);
    this.later = false;
    this.active = desk.active;
    this.number = this.erases ? 0 : desk.numberFor(this.change, label);
    this.diameter = desk.settings.diameter;
    this.where = desk.settings.keep && !this.erases ? desk.undecided : null;
    this.path = [snapped(press.at, this.diameter)];
    this.paint(this.path[0], this.path[0]);
  }

  /** @param {Press} press */
  move(press) {
    if (!this.change) return;
    const last = this.path[this.path.length - 1];
    const next = snapped(press.at, this.diameter ?? 1);
    if (next.x === last.x && next.y === last.y) return;
    this.path.push(next);
    this.paint(last, next);
  }

  /** Paint one piece of the path. @param {Point} a @param {Point} b */
  paint(a, b) {
    const { change, number, where, desk } = this;
    if (!change) return;
    const spans = (/** @type {import("../labels/polygon.js").Emit} */ emit) => strokeSpans(a, b, this.diameter ?? 1, emit);
    if (!where) {
      const touched = desk.labels.touched(spans);
      if (!touched.every(isExact)) this.later = true; // the server knows their pixels
      else if (touched.length) change.flatten(touched);
    }
    spans((y, x0, x1) => change.span(y, x0, x1, number, where));
    change.show();
  }

  up() {
    const { change, path, desk } = this;
    if (!change) return;
    this.change = null;
    if (!this.later) {
      desk.commit(change);
      return;
    }
    change.cancel();
    desk.active = this.active ?? 0;
    const diameter = this.diameter ?? 1;
    void desk.paintOver(
      this.title,
      (emit) => path.forEach((point, i) => strokeSpans(path[Math.max(0, i - 1)], point, diameter, emit)),
      (anew) => (this.erases ? 0 : desk.numberFor(anew, desk.settings.label ?? "")),
    );
  }

  finish() {
    const { desk } = this;
    if (!desk.settings.objects || this.erases) return;
    desk.active = 0;
    desk.onchange();
  }

  back() {
    return false;
  }

  drop() {
    if (!this.change) return false;
    this.change.cancel();
    this.change = null;
    this.desk.active = this.active ?? 0;
    return true;
  }

  /** @param {CanvasRenderingContext2D} context @param {Point | null} pointer */
  draw(context, pointer) {
    const { view, settings, color } = this.desk;
    if (!pointer || !view) return;
    const at = snapped(pointer, settings.diameter);
    const { x, y } = view.toScreen(at.x, at.y);
    context.beginPath();
    context.arc(x, y, Math.max(2, (settings.diameter / 2) * view.scale), 0, 2 * Math.PI);
    strokeTwice(context, this.erases || !settings.label ? "#ffffff" : color(settings.label), 1.5);
  }
}
