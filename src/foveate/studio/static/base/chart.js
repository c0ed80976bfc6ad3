// A line of one score over epochs, as SVG.

import { h, svg } from "./dom.js";
import { score, words } from "./format.js";

/** @typedef {{x: number, y: number}} Mark */

const WIDTH = 560;
const HEIGHT = 200;
const BORDER = { left: 44, right: 12, top: 10, bottom: 26 };

/**
 * Draw a curve with its best value marked.
 * @param {string} name of the score
 * @param {Mark[]} marks
 * @param {boolean} greater whether greater is better
 * @returns {HTMLElement}
 */
export function curve(name, marks, greater) {
  if (!marks.length) return h("p", { class: "faint" }, "No epoch is finished yet.");
  const xs = marks.map(({ x }) => x);
  const ticks = niceTicks(Math.min(...marks.map(({ y }) => y)), Math.max(...marks.map(({ y }) => y)));
  const [low, high] = [ticks[0], ticks[ticks.length - 1]];
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const x = (/** @type {number} */ v) => BORDER.left + ((v - first) / Math.max(1, last - first)) * (WIDTH - BORDER.left - BORDER.right);
  const y = (/** @type {number} */ v) => HEIGHT - BORDER.bottom - ((v - low) / (high - low)) * (HEIGHT - BORDER.top - BORDER.bottom);
  const best = marks.reduce((a, b) => ((greater ? b.y > a.y : b.y < a.y) ? b : a));
  const path = marks.map((mark, i) => `${i ? "L" : "M"}${x(mark.x).toFixed(1)} ${y(mark.y).toFixed(1)}`).join("");
  const drawing = svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${words(name)} of ${marks.length} epochs; best ${score(best.y)} in epoch ${best.x}` },
    ...ticks.flatMap((tick) => [
      svg("line", { class: "grid", x1: BORDER.left, x2: WIDTH - BORDER.right, y1: y(tick), y2: y(tick) }),
      svg("text", { x: BORDER.left - 8, y: y(tick) + 4, "text-anchor": "end" }, String(Number(tick.toFixed(4)))),
    ]),
    ...[...new Set([first, last])].map((tick) => svg("text", { x: x(tick), y: HEIGHT - 8, "text-anchor": tick === first ? "start" : "end" }, tick === first ? `epoch ${tick}` : String(tick))),
    svg("path", { class: "line", d: path }),
    ...(marks.length < 40 ? marks.map((mark) => svg("circle", { class: "dot", cx: x(mark.x), cy: y(mark.y), r: 3 })) : []),
    svg("circle", { class: "best", cx: x(best.x), cy: y(best.y), r: 5 }),
  );
  return h("figure", { class: "stack" }, h("figcaption", {}, h("b", {}, words(name)), ` · best ${score(best.y)} in epoch ${best.x}`), drawing);
}

/** Three to six round values around a range. @param {number} low @param {number} high */
export function niceTicks(low, high) {
  if (low === high) [low, high] = [low - Math.max(0.05, Math.abs(low) / 10), high + Math.max(0.05, Math.abs(high) / 10)];
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 10 * power;
  const ticks = [];
  const start = Math.floor(low / step + 1e-9);
  const end = Math.ceil(high / step - 1e-9);
  for (let i = start; i <= end; i += 1) ticks.push(i * step);
  return ticks;
}
