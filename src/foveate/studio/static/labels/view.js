// The view of an image: where its pixels lie on the screen. Screen coordinates are CSS pixels from the stage's corner.

export const SMALLEST = 0.05;
export const LARGEST = 32;
const MARGIN = 48; // CSS pixels of the image that stay in sight

export class View {
  /**
   * @param {number} imageWidth
   * @param {number} imageHeight
   */
  constructor(imageWidth, imageHeight) {
    this.imageWidth = imageWidth;
    this.imageHeight = imageHeight;
    this.width = 1;
    this.height = 1;
    /** CSS pixels of one image pixel. */
    this.scale = 1;
    /** Image coordinates of the stage's upper left corner. */
    this.x = 0;
    this.y = 0;
  }

  /** @param {number} width @param {number} height */
  resize(width, height) {
    const centre = this.toImage(this.width / 2, this.height / 2);
    this.width = width;
    this.height = height;
    this.x = centre.x - width / 2 / this.scale;
    this.y = centre.y - height / 2 / this.scale;
    this.keepInSight();
  }

  /** The whole image, centred. */
  fit() {
    const scale = Math.min((this.width - 24) / this.imageWidth, (this.height - 24) / this.imageHeight);
    this.scale = Math.min(LARGEST, Math.max(SMALLEST, scale));
    this.x = (this.imageWidth - this.width / this.scale) / 2;
    this.y = (this.imageHeight - this.height / this.scale) / 2;
  }

  /** @param {number} x @param {number} y */
  toImage(x, y) {
    return { x: this.x + x / this.scale, y: this.y + y / this.scale };
  }

  /** @param {number} x @param {number} y */
  toScreen(x, y) {
    return { x: (x - this.x) * this.scale, y: (y - this.y) * this.scale };
  }

  /**
   * Zoom; the image point under (x, y) stays there, unless the image would leave the stage.
   * @param {number} x
   * @param {number} y
   * @param {number} factor
   */
  zoomAt(x, y, factor) {
    const fixed = this.toImage(x, y);
    this.scale = Math.min(LARGEST, Math.max(SMALLEST, this.scale * factor));
    this.x = fixed.x - x / this.scale;
    this.y = fixed.y - y / this.scale;
    this.keepInSight();
  }

  /** Move the image by CSS pixels. @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.keepInSight();
  }

  /** Move the view so that an image point is in it, with some distance to the border. @param {number} x @param {number} y */
  show(x, y) {
    const border = Math.min(MARGIN, this.width / 4, this.height / 4);
    const at = this.toScreen(x, y);
    const dx = Math.max(0, border - at.x) - Math.max(0, at.x - (this.width - border));
    const dy = Math.max(0, border - at.y) - Math.max(0, at.y - (this.height - border));
    this.pan(dx, dy);
  }

  keepInSight() {
    const margin = Math.min(MARGIN, this.width / 4, this.height / 4) / this.scale;
    const inside = Math.min(margin, this.imageWidth / 2);
    const below = Math.min(margin, this.imageHeight / 2);
    this.x = Math.min(this.imageWidth - inside, Math.max(inside - this.width / this.scale, this.x));
    this.y = Math.min(this.imageHeight - below, Math.max(below - this.height / this.scale, this.y));
  }

  /** Image pixels that are at least partly in sight. @returns {import("./tiles.js").Rect} */
  visible() {
    return {
      x0: Math.max(0, Math.floor(this.x)),
      y0: Math.max(0, Math.floor(this.y)),
      x1: Math.min(this.imageWidth, Math.ceil(this.x + this.width / this.scale)),
      y1: Math.min(this.imageHeight, Math.ceil(this.y + this.height / this.scale)),
    };
  }
}
