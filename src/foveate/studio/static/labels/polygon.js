// Pixels of a polygon, by the rule of Pillow's ImageDraw.polygon, which labelme and Foveate's reader use.
//
// Vertices are cut to integers and the outline belongs to the polygon. On each row the edges that reach it give
// crossings in single precision; sorted, they are joined in pairs. An edge that ends on a row counts twice there, except on
// the polygon's last row, so that pairs stay pairs; the sharp corner of two flat edges is drawn to its tip.

/** @typedef {{x: number, y: number}} Point */
/** @typedef {(y: number, x0: number, x1: number) => void} Emit takes the pixels (x0..x1, y), both ends inside */
/** @typedef {{x: number, y: number, slope: number, top: number, bottom: number}} Edge x and y of its first vertex */

const f32 = Math.fround;

/** Half goes up, away from zero. @param {number} v */
const roundOut = (v) => (v >= 0 ? Math.floor(f32(v + 0.5)) : -Math.floor(-v + 0.5));
/** Half goes down, towards zero. @param {number} v */
const roundIn = (v) => (v >= 0 ? Math.ceil(f32(v - 0.5)) : -Math.ceil(-v - 0.5));
/** C's roundf. @param {number} v */
const nearest = (v) => (v >= 0 ? Math.floor(v + 0.5) : -Math.floor(-v + 0.5));

/** @param {Edge} edge @param {number} y */
const crossing = (edge, y) => f32(f32(f32(y - edge.y) * edge.slope) + edge.x);

/**
 * Emit the pixels of a polygon; a pixel may come more than once.
 * @param {readonly Point[]} points
 * @param {number} width
 * @param {number} height
 * @param {Emit} emit
 */
export function polygonSpans(points, width, height, emit) {
  const vertices = points.map(({ x, y }) => ({ x: Math.trunc(x), y: Math.trunc(y) }));
  /** @param {number} y @param {number} x0 @param {number} x1 */
  const clipped = (y, x0, x1) => {
    if (y < 0 || y >= height || x1 < 0 || x0 >= width) return;
    const from = Math.max(0, x0);
    const to = Math.min(width - 1, x1);
    if (from <= to) emit(y, from, to);
  };
  /** @type {Edge[]} */
  const edges = [];
  let top = height - 1;
  let bottom = 0;
  vertices.forEach((a, i) => {
    const last = i === vertices.length - 1;
    const b = last ? vertices[0] : vertices[i + 1];
    if (last && a.x === b.x && a.y === b.y) return;
    top = Math.min(top, a.y, b.y);
    bottom = Math.max(bottom, a.y, b.y);
    if (a.y === b.y) {
      clipped(a.y, Math.min(a.x, b.x), Math.max(a.x, b.x));
      return;
    }
    const slope = f32((b.x - a.x) / (b.y - a.y));
    edges.push({ x: a.x, y: a.y, slope, top: Math.min(a.y, b.y), bottom: Math.max(a.y, b.y) });
  });
  top = Math.max(top, 0);
  bottom = Math.min(bottom, height);
  for (let y = top; y <= bottom; y += 1) {
    const crossings = crossingsOf(edges, y, bottom);
    for (let i = 1; i < crossings.length; i += 2) clipped(y, roundOut(crossings[i - 1]), roundIn(crossings[i]));
  }
}

/**
 * @param {Edge[]} edges
 * @param {number} y
 * @param {number} bottom the polygon's last row
 */
function crossingsOf(edges, y, bottom) {
  /** @type {number[]} */
  const found = [];
  edges.forEach((edge, i) => {
    if (y < edge.top || y > edge.bottom) return;
    const x = crossing(edge, y);
    if (y === edge.bottom && y < bottom) found.push(x, x);
    else if ((y === edge.top || y === edge.bottom) && edge.slope !== 0) found.push(tip(edges, i, x, y));
    else found.push(x);
  });
  return found.sort((a, b) => a - b);
}

/**
 * The crossing of an edge on the row where it begins or ends: moved towards the neighbouring row where an earlier edge
 * meets it in a corner that is flatter than one pixel a row, so that the corner has no gap.
 * @param {Edge[]} edges
 * @param {number} index
 * @param {number} x
 * @param {number} y
 */
function tip(edges, index, x, y) {
  const edge = edges[index];
  const neighbour = y === edge.bottom ? y - 1 : y + 1;
  for (const other of edges.slice(0, index)) {
    if ((y !== other.top && y !== other.bottom) || other.slope === 0) continue;
    if (nearest(x) !== nearest(crossing(other, y))) continue;
    if (neighbour < other.top || neighbour > other.bottom) continue;
    const [a, b] = [crossing(edge, neighbour), crossing(other, neighbour)];
    if (x > f32(a + 1) && x > f32(b + 1)) return nearest(Math.max(a, b)) + 1;
    if (x < f32(a - 1) && x < f32(b - 1)) return nearest(Math.min(a, b)) - 1;
    return x;
  }
  return x;
}
