// Fewer points for a traced line.

/** @typedef {import("./polygon.js").Point} Point */

/**
 * Keep the points that a line needs to stay within a distance of all (Douglas and Peucker 1973).
 * @param {Point[]} points
 * @param {number} tolerance in pixels
 * @returns {Point[]} the first and last are kept
 */
export function simplify(points, tolerance) {
  if (points.length < 3) return points;
  const keep = new Uint8Array(points.length);
  keep[0] = keep[points.length - 1] = 1;
  const parts = [[0, points.length - 1]];
  for (let part = parts.pop(); part; part = parts.pop()) {
    const [first, last] = part;
    let farthest = 0;
    let distance = tolerance;
    for (let i = first + 1; i < last; i += 1) {
      const d = distanceToSegment(points[i], points[first], points[last]);
      if (d > distance) [farthest, distance] = [i, d];
    }
    if (!farthest) continue;
    keep[farthest] = 1;
    parts.push([first, farthest], [farthest, last]);
  }
  return points.filter((_, i) => keep[i]);
}

/** @param {Point} p @param {Point} a @param {Point} b */
export function distanceToSegment(p, a, b) {
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const square = dx * dx + dy * dy;
  const t = square ? Math.max(0, Math.min(1, ((p.x - a.x) * dx + (p.y - a.y) * dy) / square)) : 0;
  return Math.hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}
