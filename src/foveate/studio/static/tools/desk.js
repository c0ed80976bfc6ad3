// What all tools share: the labels, the current class and brush, the selection, and painting over outlines.

import { post } from "../base/api.js";
import { say } from "../base/dialog.js";
import { isExact } from "../labels/outlines.js";

/** @typedef {import("../labels/document.js").LabelDocument} LabelDocument */
/** @typedef {import("../labels/document.js").Change} Change */
/** @typedef {import("../labels/polygon.js").Point} Point */
/** @typedef {import("../labels/polygon.js").Emit} Emit */
/**
 * @typedef {object} Settings
 * @property {string | null} label the current class
 * @property {number} diameter of the brush, in pixels of the image
 * @property {boolean} keep paint only where nothing is decided
 * @property {boolean} objects tell objects of a class apart
 */
/**
 * @typedef {object} Tool
 * @property {string} name
 * @property {string} title
 * @property {"crosshair" | "none" | "default"} cursor
 * @property {() => string} hint what to do next
 * @property {(press: import("../canvas/pointer.js").Press) => void} down
 * @property {(press: import("../canvas/pointer.js").Press) => void} [move]
 * @property {(press: import("../canvas/pointer.js").Press) => void} [up]
 * @property {(at: Point) => boolean} drags whether Enter at this place begins a drag, rather than a click
 * @property {() => void | Promise<void>} [finish] take what is complete
 * @property {boolean} [takes] whether it has to be finished before the tool is left
 * @property {() => boolean} back false if there was nothing to take back
 * @property {() => boolean} drop false if there was nothing to drop
 * @property {(context: CanvasRenderingContext2D, pointer: Point | null) => void} draw in CSS pixels
 */

export class Desk {
  /**
   * @param {string} id of the image
   * @param {LabelDocument} labels
   * @param {Settings} settings
   * @param {(label: string) => string} color
   */
  constructor(id, labels, settings, color) {
    this.id = id;
    this.labels = labels;
    this.settings = settings;
    this.color = color;
    /** The object that is painted where objects are told apart; 0 for a new one. */
    this.active = 0;
    /** "n" + number, "o" + key @type {Set<string>} */
    this.selected = new Set();
    this.busy = false;
    /** What waits for the server. */
    this.work = Promise.resolve();
    this.readOnly = false;
    /** Called after each stroke. @type {(step: import("../labels/document.js").Step) => void} */
    this.onstep = () => {};
    /** Called when something that panels show has changed. */
    this.onchange = () => {};
    /** Draw the tools again. */
    this.redrawTools = () => {};
    /** Draw labels again; null: all. @type {(rect: import("../labels/tiles.js").Rect | null) => void} */
    this.redrawLabels = () => {};
    /** @type {import("../labels/view.js").View | null} */
    this.view = null;
    /** @type {import("../canvas/labelpainter.js").LabelPainter | null} */
    this.painter = null;
  }

  /** The current class, or null after saying that one is needed. */
  needLabel() {
    if (this.readOnly) say("This folder is opened for reading only.", "bad");
    else if (!this.settings.label) say("Choose a class first, or add one on the right.", "bad");
    else return this.settings.label;
    return null;
  }

  /** Decided or covered by an outline. @param {number} x @param {number} y */
  isDecided(x, y) {
    return this.labels.paint.get(x, y) !== 0 || this.labels.top.map.get(x, y) !== 0;
  }

  /** The condition on pixels where what is there is kept. @returns {(old: number, x: number, y: number) => boolean} */
  get undecided() {
    return (old, x, y) => old === 0 && this.labels.top.map.get(x, y) === 0;
  }

  /** The number that is painted for a class. @param {Change} change @param {string} label @param {boolean} [fresh] a new object where objects are told apart */
  numberFor(change, label, fresh = false) {
    const { labels, settings } = this;
    if (!settings.objects) return labels.numberOfClass(label) || change.newObject(label);
    if (!fresh && this.active && labels.objects.get(this.active)?.label === label) return this.active;
    this.active = change.newObject(label);
    return this.active;
  }

  /** Make a change one step. @param {Change} change */
  commit(change) {
    const step = change.commit();
    if (step) this.onstep(step);
    this.onchange();
    return step;
  }

  /**
   * Paint pixels over whatever is there, as one step: outlines that they touch become painted objects first.
   * @param {string} name of the step
   * @param {(emit: Emit) => void} spans
   * @param {(change: Change) => number} numberOf
   * @param {((old: number, x: number, y: number) => boolean) | null} [where] where given, nothing is painted over
   */
  async paintOver(name, spans, numberOf, where = null) {
    await this.exclusively(async () => {
      const touched = where ? [] : this.labels.touched(spans);
      /** @type {Record<string, import("../labels/document.js").WireTiles>} */
      let pixels = {};
      if (!touched.every(isExact)) {
        const outlines = this.labels.outlines;
        const answer = await post(`pictures/${this.id}/flatten`, { outlines, touch: touched.map(({ key }) => key) });
        pixels = answer.tiles;
      }
      const change = this.labels.change(name);
      try {
        change.flatten(touched, pixels);
        const number = numberOf(change);
        spans((y, x0, x1) => change.span(y, x0, x1, number, where));
      } catch (error) {
        change.cancel();
        throw error;
      }
      this.commit(change);
    });
  }

  /** Run something that waits for the server; tools rest meanwhile. @param {() => Promise<void>} work @returns {Promise<void>} */
  exclusively(work) {
    this.work = this.rest(work);
    return this.work;
  }

  /** @param {() => Promise<void>} work */
  async rest(work) {
    this.busy = true;
    try {
      await work();
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), "bad");
    } finally {
      this.busy = false;
      this.redrawTools();
    }
  }

  /** Set or clear the selection. @param {Iterable<string>} keys */
  select(keys) {
    this.selected.clear();
    for (const key of keys) this.selected.add(key);
    this.redrawLabels(null);
    this.redrawTools();
    this.onchange();
  }

  /** Selected outlines and objects that are still there. */
  selection() {
    const outlines = this.labels.outlines.filter(({ key }) => this.selected.has(`o${key}`));
    const objects = [...this.labels.objects.values()].filter(({ number }) => this.selected.has(`n${number}`));
    return { outlines, objects };
  }

  /** Change every selected region in one step. @param {string} name @param {(shape: any) => any} edit returns the shape itself, another, or null to delete it */
  editSelection(name, edit) {
    const { outlines, objects } = this.selection();
    if (this.readOnly || (!outlines.length && !objects.length)) return false;
    const change = this.labels.change(name);
    const chosen = new Map(outlines.map((outline) => [outline, edit(outline)]));
    change.setOutlines(
      this.labels.outlines.flatMap((outline) => {
        const edited = chosen.has(outline) ? chosen.get(outline) : outline;
        return edited ? [edited] : [];
      }),
    );
    /** @type {Set<number>} */
    const gone = new Set();
    for (const object of objects) {
      const edited = edit(object);
      if (edited) change.setObject(edited);
      else gone.add(object.number);
    }
    if (gone.size) change.erase(gone);
    this.commit(change);
    this.redrawLabels(null);
    return true;
  }
}

/** Draw a line of image points. @param {CanvasRenderingContext2D} context @param {import("../labels/view.js").View} view @param {Point[]} points @param {boolean} closed */
export function trace(context, view, points, closed) {
  context.beginPath();
  points.forEach((point, i) => {
    const { x, y } = view.toScreen(point.x, point.y);
    if (i) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
  if (closed) context.closePath();
}

/** Stroke the path in a colour that is seen on any ground. @param {CanvasRenderingContext2D} context @param {string} color @param {number} [width] */
export function strokeTwice(context, color, width = 1.5) {
  context.lineJoin = context.lineCap = "round";
  context.strokeStyle = "rgba(0, 0, 0, 0.65)";
  context.lineWidth = width + 2;
  context.stroke();
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke();
}

/** A handle at an image point. @param {CanvasRenderingContext2D} context @param {import("../labels/view.js").View} view @param {Point} point @param {string} color @param {number} [size] */
export function handle(context, view, point, color, size = 4) {
  const { x, y } = view.toScreen(point.x, point.y);
  context.beginPath();
  context.arc(x, y, size, 0, 2 * Math.PI);
  context.fillStyle = color;
  context.fill();
  context.strokeStyle = "rgba(0, 0, 0, 0.8)";
  context.lineWidth = 1;
  context.stroke();
}
