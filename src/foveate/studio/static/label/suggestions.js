// Pre-labels: what a run predicts, hatched where nothing is decided; all, a class or a region can be taken.

import { Problem, get } from "../base/api.js";
import { say } from "../base/dialog.js";
import { LabelDocument } from "../labels/document.js";

/** @typedef {{run: string, model_sha256: string, kept: number}} Origin */
/** @typedef {import("../labels/polygon.js").Point} Point */

export class Suggestions {
  /**
   * @param {import("../tools/desk.js").Desk} desk
   * @param {{run: string, model_sha256: string, objects: import("../labels/document.js").LabelObject[], tiles: Record<string, string>, outlines: import("../labels/outlines.js").Outline[], confidence: number | null, captions?: string[]}} answer
   */
  constructor(desk, answer) {
    this.desk = desk;
    this.run = answer.run;
    this.sha256 = answer.model_sha256;
    this.confidence = answer.confidence;
    this.captions = answer.captions ?? [];
    const { width, height } = desk.labels;
    this.labels = new LabelDocument({ width, height, objects: answer.objects, tiles: answer.tiles, outlines: [] });
    this.taken = false;
  }

  /** The pre-labels of an image, or null if it has none. @param {import("../tools/desk.js").Desk} desk @returns {Promise<Suggestions | null>} */
  static async load(desk) {
    try {
      return new Suggestions(desk, await get(`pictures/${desk.id}/prelabel`));
    } catch (error) {
      if (!(error instanceof Problem && (error.status === 404 || error.status === 409))) {
        say(error instanceof Error ? error.message : String(error), "bad");
      }
      return null;
    }
  }

  /** Show or hide them. @param {boolean} on */
  show(on) {
    const { painter } = this.desk;
    if (!painter) return;
    const names = new Map([...this.labels.objects.values()].map(({ number, label }) => [number, label]));
    painter.suggestion = on ? { map: this.labels.paint, labels: names } : null;
    this.desk.redrawLabels(null);
  }

  /** The class that is suggested at a pixel where nothing is decided. @param {number} x @param {number} y */
  at(x, y) {
    return this.desk.isDecided(x, y) ? undefined : this.labels.objects.get(this.labels.paint.get(x, y))?.label;
  }

  /** Take every object that `wanted` accepts, where nothing is decided. @param {string} name @param {(object: import("../labels/document.js").LabelObject) => boolean} wanted */
  take(name, wanted) {
    const { desk } = this;
    if (desk.readOnly) return;
    const change = desk.labels.change(name);
    /** @type {Map<number, number>} */
    const numbers = new Map();
    for (const object of this.labels.objects.values()) {
      if (wanted(object)) numbers.set(object.number, desk.numberFor(change, object.label, true));
    }
    change.stamp(this.labels.wireTiles(this.labels.paintedTiles()), (value) => numbers.get(value) ?? 0, desk.undecided);
    desk.active = 0;
    this.commit(change);
  }

  takeAll() {
    this.take("Take all pre-labels", () => true);
  }

  /** @param {string} label */
  takeClass(label) {
    this.take(`Take ${label}`, (object) => object.label === label);
  }

  /** Take the connected region at a point. @param {Point} point @returns {boolean} false if none is there */
  takeRegion(point) {
    const { desk, labels } = this;
    const [x, y] = [Math.floor(point.x), Math.floor(point.y)];
    const object = labels.objects.get(labels.paint.get(x, y));
    if (!object || desk.isDecided(x, y) || desk.readOnly) return false;
    const change = desk.labels.change(`Take a region of ${object.label}`);
    const number = desk.numberFor(change, object.label, true);
    const open = (/** @type {number} */ u, /** @type {number} */ v) =>
      u >= 0 && v >= 0 && u < labels.width && v < labels.height && labels.paint.get(u, v) === object.number && !desk.isDecided(u, v);
    // Rows that were filled are decided, so that the same test ends the search.
    const seeds = [[x, y]];
    for (let seed = seeds.pop(); seed; seed = seeds.pop()) {
      const [u, v] = seed;
      if (!open(u, v)) continue;
      let [left, right] = [u, u];
      while (open(left - 1, v)) left -= 1;
      while (open(right + 1, v)) right += 1;
      change.span(v, left, right, number);
      for (const w of [v - 1, v + 1]) {
        for (let i = left; i <= right; i += 1) if (open(i, w) && !(i > left && open(i - 1, w))) seeds.push([i, w]);
      }
    }
    desk.active = 0;
    this.commit(change);
    return true;
  }

  /** @param {import("../labels/document.js").Change} change */
  commit(change) {
    if (this.desk.commit(change)) this.taken = true;
    else say("There is nothing to take.");
  }

  /** Where the labels come from: the run, and the share of its decided pixels that stand as it predicted them. @returns {Origin} */
  origin() {
    const { labels, desk } = this;
    const edited = desk.labels;
    const [guess, paint, slots] = [new Int32Array(labels.width), new Int32Array(labels.width), new Int32Array(labels.width)];
    let decided = 0;
    let kept = 0;
    for (let y = 0; y < labels.height; y += 1) {
      labels.paint.readRow(0, y, 1, guess);
      edited.paint.readRow(0, y, 1, paint);
      edited.top.map.readRow(0, y, 1, slots);
      for (let x = 0; x < labels.width; x += 1) {
        if (!guess[x]) continue;
        decided += 1;
        const now = slots[x] ? edited.top.bySlot[slots[x]] : edited.objects.get(paint[x]);
        if (now?.label === labels.objects.get(guess[x])?.label) kept += 1;
      }
    }
    const share = decided ? Math.round((1000 * kept) / decided) / 1000 : 0;
    return { run: this.run, model_sha256: this.sha256, kept: share };
  }
}
