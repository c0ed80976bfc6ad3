// Select: regions by a click; the corners of a selected outline can be moved, added and removed, the outline moved whole.

import { distanceToSegment } from "../labels/simplify.js";
import { handle, strokeTwice, trace } from "./desk.js";

/** @typedef {import("../labels/polygon.js").Point} Point */
/** @typedef {import("../canvas/pointer.js").Press} Press */
/** @typedef {import("../labels/outlines.js").Outline} Outline */

const NEAR = 8; // CSS pixels
/** Kinds of outlines that have as many corners as one likes. */
const FREE = new Set(["polygon", "linestrip"]);

export class Select {
  /** @param {import("./desk.js").Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.name = "select";
    this.title = "Select";
    this.cursor = /** @type {const} */ ("default");
    /** The corner that was pointed at last: deleted by Backspace. */
    this.corner = -1;
    /** What is dragged. @type {{outline: Outline, corner: number, from: Point, points: [number, number][]} | null} */
    this.drag = null;
    /** Take a pre-label's region. @type {(at: Point) => boolean} */
    this.take = () => false;
  }

  hint() {
    const { outlines, objects } = this.desk.selection();
    const count = outlines.length + objects.length;
    if (!count) return "Click a region; with Shift several";
    if (count === 1 && outlines.length) return "Drag corners or the outline; click an edge to add a corner; Backspace deletes";
    return "A class key relabels, Backspace deletes, J joins to one object";
  }

  /** @param {Point} at */
  drags(at) {
    return this.drag !== null || this.grip(at) !== null;
  }

  /** The selected outline, if it is one only. @returns {Outline | null} */
  only() {
    const { outlines, objects } = this.desk.selection();
    return outlines.length === 1 && !objects.length ? outlines[0] : null;
  }

  /** What of the selected outline is at a place: a corner, or the index of an edge. @param {Point} at */
  grip(at) {
    const outline = this.only();
    if (!outline) return null;
    const scale = this.desk.view?.scale ?? 1;
    const points = outline.points.map(([x, y]) => ({ x, y }));
    const corner = points.findIndex((point) => Math.hypot(point.x - at.x, point.y - at.y) * scale < NEAR);
    if (corner >= 0) return { outline, corner, edge: -1 };
    if (!FREE.has(outline.kind)) return null;
    const ends = outline.kind === "polygon" ? points.length : points.length - 1;
    for (let i = 0; i < ends; i += 1) {
      if (distanceToSegment(at, points[i], points[(i + 1) % points.length]) * scale < NEAR / 2) {
        return { outline, corner: -1, edge: i };
      }
    }
    return null;
  }

  /** @param {Press} press */
  down(press) {
    const { desk } = this;
    const grip = desk.readOnly || press.shift ? null : this.grip(press.at);
    if (grip) {
      const points = grip.outline.points.map((point) => /** @type {[number, number]} */ ([...point]));
      this.corner = grip.corner;
      if (grip.edge >= 0) {
        this.corner = grip.edge + 1;
        points.splice(this.corner, 0, [press.at.x, press.at.y]);
      }
      this.drag = { outline: grip.outline, corner: this.corner, from: press.at, points };
      return;
    }
    this.corner = -1;
    if (press.double && this.take(press.at)) return;
    const [x, y] = [Math.floor(press.at.x), Math.floor(press.at.y)];
    const outline = desk.labels.top.at(x, y);
    const number = outline ? 0 : desk.labels.paint.get(x, y);
    const key = outline ? `o${outline.key}` : number ? `n${number}` : "";
    if (press.shift && key) {
      const keys = new Set(desk.selected);
      if (!keys.delete(key)) keys.add(key);
      desk.select(keys);
      return;
    }
    const again = key && desk.selected.size === 1 && desk.selected.has(key);
    if (!again) desk.select(key ? [key] : []);
    if (number) desk.active = number;
    if (outline && !desk.readOnly) {
      const points = outline.points.map((point) => /** @type {[number, number]} */ ([...point]));
      this.drag = { outline, corner: -1, from: press.at, points };
    }
  }

  /** @param {Press} press */
  move(press) {
    const { drag, desk } = this;
    if (!drag) return;
    const [dx, dy] = [press.at.x - drag.from.x, press.at.y - drag.from.y];
    if (drag.corner >= 0) drag.points[drag.corner] = [press.at.x, press.at.y];
    else if (Math.hypot(dx, dy) * (desk.view?.scale ?? 1) > 4) {
      drag.points = drag.outline.points.map(([x, y]) => [x + dx, y + dy]);
    }
    desk.redrawTools();
  }

  up() {
    const { drag, desk } = this;
    this.drag = null;
    if (!drag) return;
    const { width, height } = desk.labels;
    const into = (/** @type {number} */ v, /** @type {number} */ size) => Math.round(100 * Math.max(0, Math.min(size - 1, v))) / 100;
    const points = drag.points.map(([x, y]) => /** @type {[number, number]} */ ([into(x, width), into(y, height)]));
    const same = points.length === drag.outline.points.length && points.every(([x, y], i) => x === drag.outline.points[i][0] && y === drag.outline.points[i][1]);
    if (same) return;
    this.replace(drag.outline, points, drag.corner >= 0 ? "Move a corner" : "Move an outline");
  }

  /** @param {Outline} outline @param {[number, number][]} points @param {string} name */
  replace(outline, points, name) {
    const { desk } = this;
    const change = desk.labels.change(name);
    change.setOutlines(desk.labels.outlines.map((one) => (one.key === outline.key ? { ...one, points } : one)));
    desk.commit(change);
    desk.redrawTools();
  }

  /** Delete the corner that was pointed at, else the selected regions. */
  back() {
    const { desk } = this;
    const outline = this.only();
    if (outline && this.corner >= 0 && FREE.has(outline.kind) && outline.points.length > (outline.kind === "polygon" ? 3 : 2)) {
      const { corner } = this;
      this.corner = -1;
      this.replace(outline, outline.points.filter((_, i) => i !== corner), "Remove a corner");
      return true;
    }
    const deleted = desk.editSelection("Delete", () => null);
    if (deleted) desk.select([]);
    return deleted;
  }

  drop() {
    this.corner = -1;
    if (this.drag) {
      this.drag = null;
      this.desk.redrawTools();
    } else if (this.desk.selected.size) this.desk.select([]);
    else return false;
    return true;
  }

  /** @param {CanvasRenderingContext2D} context */
  draw(context) {
    const { desk, drag } = this;
    if (!desk.view) return;
    for (const outline of desk.selection().outlines) {
      const moved = drag?.outline.key === outline.key ? drag.points : outline.points;
      const points = moved.map(([x, y]) => ({ x, y }));
      if (outline.kind === "polygon" || outline.kind === "linestrip" || outline.kind === "oriented_rectangle") {
        trace(context, desk.view, points, outline.kind !== "linestrip");
        strokeTwice(context, "#ffffff");
      }
      points.forEach((point, i) => desk.view && handle(context, desk.view, point, "#ffffff", i === this.corner ? 6 : 4));
    }
  }
}
