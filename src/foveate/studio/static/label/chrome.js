// What stands around the canvas: tools, options, the saved mark, the status line.

import { byId, fill, h, icon } from "../base/dom.js";
import { duration } from "../base/format.js";

/** @typedef {import("../base/keymap.js").KeyMap} KeyMap */
/** @typedef {import("../tools/desk.js").Tool} Tool */

/** A button with a drawing, whose key is named with it. @param {string} name @param {string} text @param {string[]} keys @param {() => void} act @param {boolean} [label] also show the text */
export function iconButton(name, text, keys, act, label = false) {
  const hint = keys.length ? `${text} (${keys[0]})` : text;
  return h("button", { type: "button", class: "icon-button", title: hint, "aria-label": text, "aria-keyshortcuts": ariaKeys(keys), onclick: act }, icon(name), label ? text : null);
}

/** @param {string[]} keys */
const ariaKeys = (keys) => keys.map((key) => key.replace("Ctrl", "Control")).join(" ") || null;

/** @param {Tool[]} tools @param {KeyMap} keys @param {(tool: Tool) => void} choose */
export function drawTools(tools, keys, choose) {
  fill(
    byId("tools"),
    tools.map((tool) => {
      const shortcut = keys.of(`tool-${tool.name}`);
      const button = iconButton(tool.name, tool.title, shortcut, () => choose(tool));
      button.dataset.tool = tool.name;
      button.append(h("kbd", { "aria-hidden": "true" }, shortcut[0] ?? ""));
      return button;
    }),
  );
}

/** @param {Tool} tool */
export function markTool(tool) {
  for (const button of byId("tools").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.tool === tool.name));
  }
}

/**
 * @typedef {object} Options
 * @property {number} diameter
 * @property {boolean} keep
 * @property {boolean} objects
 * @property {number} opacity
 * @property {boolean} patterns
 */

/** The options of tools, as controls. @param {Options} options @param {KeyMap} keys @param {(change: Partial<Options>) => void} put */
export function drawOptions(options, keys, put) {
  const size = h("input", { type: "range", id: "size", min: 0, max: 100, step: 1 });
  size.value = String(toSlider(options.diameter));
  const number = h("output", { for: "size", class: "number" }, `${options.diameter} px`);
  size.addEventListener("input", () => put({ diameter: fromSlider(Number(size.value)) }));
  const toggle = (/** @type {"keep" | "objects" | "patterns"} */ name, /** @type {string} */ text, /** @type {string} */ title) => {
    const key = keys.of(name)[0] ?? "";
    return h("button", { type: "button", class: "toggle", "data-option": name, "aria-pressed": String(options[name]), title, "aria-keyshortcuts": key, onclick: () => put({ [name]: !options[name] }) }, text, h("kbd", { "aria-hidden": "true" }, key));
  };
  const opacity = h("input", { type: "range", id: "opacity", min: 15, max: 100, step: 5 });
  opacity.value = String(Math.round(100 * options.opacity));
  opacity.addEventListener("input", () => put({ opacity: Number(opacity.value) / 100 }));
  fill(
    byId("options"),
    h("div", { class: "option" }, h("label", { for: "size" }, "Brush"), size, number),
    toggle("keep", "Keep decided", "Paint only where nothing is decided"),
    toggle("objects", "Objects", "Each region is an object of its own (instances)"),
    h("div", { class: "option" }, h("label", { for: "opacity" }, "Labels"), opacity),
    toggle("patterns", "Patterns", "A pattern for each class, beside its colour"),
  );
}

/** The slider grows by factors: 1 px to 400 px. @param {number} diameter */
const toSlider = (diameter) => Math.round((100 * Math.log(diameter)) / Math.log(400));
/** @param {number} value */
const fromSlider = (value) => Math.max(1, Math.round(400 ** (value / 100)));

/** Larger or smaller by about a fifth, at least by one pixel. @param {number} diameter @param {number} direction */
export function nextDiameter(diameter, direction) {
  const next = direction > 0 ? Math.max(diameter + 1, diameter * 1.2) : Math.min(diameter - 1, diameter / 1.2);
  return Math.max(1, Math.min(400, Math.round(next)));
}

/** @param {import("./saver.js").Saver} saver */
export function drawSaved(saver) {
  const texts = {
    clean: "no changes",
    saving: "saving …",
    saved: `on disk ${saver.savedAt.slice(0, 5)}`,
    waiting: "not on disk; kept in this browser, trying again",
    refused: "not on disk",
    stale: "changed elsewhere",
    "read-only": "read only",
  };
  const mark = byId("saved");
  mark.dataset.state = saver.state;
  mark.title = saver.message;
  const answered = saver.state === "refused" || (saver.state === "waiting" && saver.answered);
  const text = answered ? `${texts.refused}: ${saver.message}${saver.state === "waiting" ? "; kept in this browser, trying again" : ""}` : texts[saver.state];
  if (mark.textContent !== text) mark.textContent = text;
}

/** The time on this image, and the median of those that are done. @param {number} seconds @param {import("../base/shell.js").Project} project @param {boolean} assisted */
export function drawTime(seconds, project, assisted) {
  const { plain, assisted: helped } = project.seconds;
  const medians = [];
  if (helped.median !== null) medians.push(`${duration(helped.median)} with pre-labels`);
  if (plain.median !== null) medians.push(`${duration(plain.median)} by hand`);
  const text = `${duration(seconds)}${medians.length ? ` · median ${medians.join(", ")}` : ""}`;
  const line = byId("time");
  line.classList.toggle("assisted", assisted);
  if (line.textContent !== text) line.textContent = text;
}
