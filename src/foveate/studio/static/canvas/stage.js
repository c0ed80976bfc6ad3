// The stage: image and labels on one canvas, what tools draw on a second one above it.

import { LabelPainter } from "./labelpainter.js";
import { PicturePainter } from "./picture.js";
import { View } from "../labels/view.js";

/** @typedef {import("../labels/tiles.js").Rect} Rect */

export class Stage {
  /**
   * @param {HTMLElement} element takes the pointer and the focus
   * @param {import("./picture.js").Picture} picture
   * @param {import("../labels/document.js").LabelDocument} labels
   * @param {import("./labelpainter.js").Look} look
   * @param {(context: CanvasRenderingContext2D) => void} drawTools draws in CSS pixels
   */
  constructor(element, picture, labels, look, drawTools) {
    this.element = element;
    this.view = new View(picture.width, picture.height);
    this.base = addCanvas(element);
    this.over = addCanvas(element);
    this.drawTools = drawTools;
    this.picture = new PicturePainter(picture, () => this.redraw());
    this.painter = new LabelPainter(labels, look);
    this.hidden = false;
    this.ratio = 1;
    /** What of the image is drawn again in the next frame. @type {Rect | "all" | null} */
    this.dirty = "all";
    this.frame = 0;
    this.fitted = false;
    /** Called when the view changes. */
    this.onview = () => {};
    labels.watch((rect) => rect && this.redrawLabels(rect));
    new ResizeObserver(() => this.resize()).observe(element);
    this.resize();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    this.ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.base, this.over]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    this.view.resize(width, height);
    if (!this.fitted) this.view.fit();
    this.fitted = true;
    this.redraw();
    this.onview();
  }

  /** The view has changed. */
  moved() {
    this.redraw();
    this.onview();
  }

  /** Draw everything in the next frame. */
  redraw() {
    this.dirty = "all";
    this.schedule();
  }

  /** Draw what tools draw in the next frame. */
  redrawTools() {
    this.schedule();
  }

  /** Labels have changed. @param {Rect | null} rect of the image; null: all of it */
  redrawLabels(rect) {
    this.painter.invalidate(rect);
    if (!rect) this.dirty = "all";
    else if (this.dirty !== "all") {
      const old = this.dirty;
      this.dirty = old
        ? { x0: Math.min(old.x0, rect.x0), y0: Math.min(old.y0, rect.y0), x1: Math.max(old.x1, rect.x1), y1: Math.max(old.y1, rect.y1) }
        : rect;
    }
    this.schedule();
  }

  schedule() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    if (this.dirty) this.drawBase(this.dirty);
    this.dirty = null;
    const context = contextOf(this.over);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.over.width, this.over.height);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.drawTools(context);
  }

  /** @param {Rect | "all"} dirty */
  drawBase(dirty) {
    const { view, ratio, base } = this;
    const context = contextOf(base);
    context.save();
    if (dirty !== "all") {
      // Some pixels more: a zoomed-out pixel of the screen shows several of the image.
      const margin = 4 + 2 / view.scale;
      const from = view.toScreen(dirty.x0 - margin, dirty.y0 - margin);
      const to = view.toScreen(dirty.x1 + margin, dirty.y1 + margin);
      context.beginPath();
      const [x, y] = [Math.floor(from.x * ratio), Math.floor(from.y * ratio)];
      context.rect(x, y, Math.ceil(to.x * ratio) - x, Math.ceil(to.y * ratio) - y);
      context.clip();
    }
    context.clearRect(0, 0, base.width, base.height);
    this.picture.draw(context, view, ratio);
    if (!this.hidden) {
      context.imageSmoothingEnabled = view.scale * ratio < 1;
      this.painter.draw(context, view, ratio);
    }
    context.restore();
  }
}

/** @param {HTMLElement} element */
function addCanvas(element) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("aria-hidden", "true");
  element.append(canvas);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas */
function contextOf(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("the browser gives no canvas");
  return context;
}
