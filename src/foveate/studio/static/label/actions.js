// What the keys of the label page do.

import { BINDINGS, keyName } from "../base/keymap.js";
import { byId } from "../base/dom.js";
import { nextDiameter } from "./chrome.js";
import { findClass, showKeys } from "./dialogs.js";
import { finish, leave, nextOpen, toGallery } from "./journey.js";

/** @typedef {import("./page.js").LabelPage} LabelPage */

const OPACITIES = [0.25, 0.5, 0.75, 1];

/** @param {LabelPage} page @returns {Record<string, (event: KeyboardEvent) => void>} */
function actionsOf(page) {
  const { desk, stage, crosshair } = page.parts;
  /** @type {Record<string, (event: KeyboardEvent) => void>} */
  const actions = {
    finish: () => {
      void Promise.resolve(page.parts.tool.finish?.()).then(() => page.drawHint());
    },
    back: () => {
      if (!page.parts.tool.back()) page.parts.select.back();
      page.drawHint();
    },
    drop: () => {
      crosshair.pressed = false;
      if (!page.parts.tool.drop()) {
        desk.select([]);
        crosshair.hide();
      }
      page.drawHint();
      stage.redrawTools();
    },
    smaller: () => page.put({ diameter: nextDiameter(page.settings.diameter, -1) }),
    larger: () => page.put({ diameter: nextDiameter(page.settings.diameter, 1) }),
    keep: () => page.put({ keep: !page.settings.keep }),
    objects: () => page.put({ objects: !page.settings.objects }),
    patterns: () => page.put({ patterns: !page.settings.patterns }),
    opacity: () => {
      const next = OPACITIES.find((one) => one > page.settings.opacity + 0.01) ?? OPACITIES[0];
      page.put({ opacity: next });
      page.say(`labels at ${Math.round(100 * next)} %`);
    },
    join: () => {
      const { outlines, objects } = desk.selection();
      const shapes = [...outlines, ...objects];
      const joined = shapes.length > 1 && shapes.every(({ group }) => group !== null && group === shapes[0].group);
      const group = joined || shapes.length < 2 ? null : page.parts.labels.freeGroup();
      desk.editSelection(group === null ? "Part" : "Join", (shape) => ({ ...shape, group }));
    },
    undo: () => page.undo(),
    redo: () => page.redo(),
    class: (event) => {
      const digit = Number(/\d/.exec(keyName(event))?.[0]);
      const chosen = page.classes[(digit + 9) % 10];
      if (chosen) page.choose(chosen.name);
    },
    "find-class": () => findClass(page),
    "take-all": () => page.suggestions?.takeAll(),
    "take-class": () => page.takeClass(),
    "take-region": () => {
      const at = crosshair.at ?? page.pointer;
      if (at) page.suggestions?.takeRegion(at);
    },
    left: (event) => crosshair.move(-1, 0, event.shiftKey),
    right: (event) => crosshair.move(1, 0, event.shiftKey),
    up: (event) => crosshair.move(0, -1, event.shiftKey),
    down: (event) => crosshair.move(0, 1, event.shiftKey),
    place: (event) => crosshair.place(event.altKey),
    "zoom-in": () => page.zoom(1.25),
    "zoom-out": () => page.zoom(0.8),
    fit: () => page.zoom(0),
    previous: () => void leave(page, page.picture.previous),
    next: () => void leave(page, page.picture.next),
    "next-open": () => void nextOpen(page).then((id) => leave(page, id)),
    done: () => void finish(page, "done"),
    skip: () => void page.skipOrReopen(),
    gallery: () => void toGallery(page),
    help: () => showKeys(page),
  };
  for (const { action } of BINDINGS) {
    if (action.startsWith("tool-")) actions[action] = () => page.use(action.slice(5));
  }
  return actions;
}

/** @param {LabelPage} page */
export function listenToKeys(page) {
  const actions = actionsOf(page);
  const hide = (/** @type {boolean} */ hidden) => {
    const { stage } = page.parts;
    if (stage.hidden === hidden) return;
    stage.hidden = hidden;
    stage.redraw();
  };
  window.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (document.querySelector("dialog[open]") || event.isComposing) return;
    const writes = target.matches("input:not([type=range]), textarea, select");
    let action = page.keys.action(keyName(event));
    const arrow = event.key.startsWith("Arrow");
    if (arrow) action = page.keys.action(event.key);
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) action = "place";
    if (writes && action !== "done") return;
    // Buttons and sliders keep the keys that work them.
    const control = target.closest("button, a, summary, input");
    if (control && (event.key === " " || (event.key === "Enter" && action === "place") || (arrow && target.matches("input")))) return;
    if (!action) return;
    event.preventDefault();
    if (action === "pan") page.space = true;
    else if (action === "hide") hide(true);
    else actions[action]?.(event);
    byId("stage").classList.toggle("panning", page.space);
  });
  window.addEventListener("keyup", (event) => {
    const action = page.keys.action(keyName(event));
    if (action === "pan" || event.key === " ") page.space = false;
    if (action === "hide") hide(false);
    byId("stage").classList.toggle("panning", page.space);
  });
  window.addEventListener("blur", () => {
    page.space = false;
    hide(false);
    byId("stage").classList.remove("panning");
  });
}
