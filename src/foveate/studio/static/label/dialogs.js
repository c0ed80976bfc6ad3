// Dialogs of the label page.

import { show } from "../base/dialog.js";
import { byId, h } from "../base/dom.js";
import { keyTable } from "../pages/keytable.js";

/** @typedef {import("./page.js").LabelPage} LabelPage */

/** Choose a class by the beginning of its name. @param {LabelPage} page */
export function findClass(page) {
  const input = h("input", { type: "text", "aria-label": "Class", list: "class-names", autocomplete: "off", spellcheck: "false" });
  const names = h("datalist", { id: "class-names" }, page.classes.map(({ name }) => h("option", { value: name })));
  const dialog = show("Find a class", h("p", {}, input, names));
  input.focus();
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const typed = input.value.trim().toLowerCase();
    const found = page.classes.find(({ name }) => name.toLowerCase() === typed) ?? page.classes.find(({ name }) => name.toLowerCase().startsWith(typed));
    if (!typed || !found) return;
    dialog.close();
    page.choose(found.name);
    byId("stage").focus({ preventScroll: true });
  });
}

/** All keys, with those that were changed. @param {LabelPage} page */
export function showKeys(page) {
    show("Keys", keyTable(page.keys, false));
}
