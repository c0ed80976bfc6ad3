// Pixels of a round brush: those whose centre is within half the brush's diameter of the line that it is drawn along.

/** @typedef {import("./polygon.js").Point} Point */
/** @typedef {import("./polygon.js").Emit} Emit */

/**
 * Where a brush lies for a pointer position: on a pixel's centre for an odd diameter, on a corner for an even one, so
 * that every brush has one shape.
 * @param {Point} point
 * @param {number} diameter
 * @returns {Point}
 */
export function snapped(point, diameter) {
  if (diameter % 2) return { x: Math.floor(point.x) + 0.5, y: Math.floor(point.y) + 0.5 };
  return { x: Math.round(point.x), y: Math.round(point.y) };
}

/**
 * Emit the pixels of a brush that moves from a to b in a straight line: a convex set, so one span a row.
 * @param {Point} a
 * @param {Point} b
 * @param {number} diameter
 * @param {Emit} emit
 */
export function strokeSpans(a, b, diameter, emit) {
  const radius = diameter / 2;
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const length = Math.hypot(dx, dy);
  const first = Math.ceil(Math.min(a.y, b.y) - radius - 0.5);
  const last = Math.floor(Math.max(a.y, b.y) + radius - 0.5);
  for (let y = first; y <= last; y += 1) {
    let low = Infinity;
    let high = -Infinity;
    const centre = y + 0.5;
    for (const end of [a, b]) {
      const square = radius * radius - (centre - end.y) ** 2;
      if (square < 0) continue;
      low = Math.min(low, end.x - Math.sqrt(square));
      high = Math.max(high, end.x + Math.sqrt(square));
    }
    if (length) {
      // The band between both discs: |cross product| <= radius length, and 0 <= dot product <= length^2.
      const [left, right] = both(
        interval(dy, -dx * (centre - a.y) - dy * a.x, -radius * length, radius * length),
        interval(dx, dy * (centre - a.y) - dx * a.x, 0, length * length),
      );
      if (left <= right) {
        low = Math.min(low, left);
        high = Math.max(high, right);
      }
    }
    const x0 = Math.ceil(low - 0.5 - 1e-9);
    const x1 = Math.floor(high - 0.5 + 1e-9);
    if (x0 <= x1) emit(y, x0, x1);
  }
}

/**
 * The x with low <= slope x + offset <= high.
 * @param {number} slope
 * @param {number} offset
 * @param {number} low
 * @param {number} high
 * @returns {[number, number]} empty if the first is greater
 */
function interval(slope, offset, low, high) {
  if (slope === 0) return low <= offset && offset <= high ? [-Infinity, Infinity] : [Infinity, -Infinity];
  const ends = [(low - offset) / slope, (high - offset) / slope];
  return slope > 0 ? [ends[0], ends[1]] : [ends[1], ends[0]];
}

/**
 * @param {[number, number]} a
 * @param {[number, number]} b
 * @returns {[number, number]}
 */
function both(a, b) {
  return [Math.max(a[0], b[0]), Math.min(a[1], b[1])];
}
