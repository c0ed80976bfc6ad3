// The table of all keys; on the help page they can be changed.

import { h } from "../base/dom.js";
import { BINDINGS, keyName } from "../base/keymap.js";

/**
 * @param {import("../base/keymap.js").KeyMap} keys
 * @param {boolean} changes whether keys can be changed here
 */
export function keyTable(keys, changes) {
  const groups = [...new Set(BINDINGS.map(({ group }) => group))];
  return h("div", { class: "key-groups" }, groups.map((group) => {
    const rows = BINDINGS.filter((one) => one.group === group && one.text).map((binding) => {
      const shown = binding.action === "left" ? ["←", "→", "↑", "↓"] : binding.action === "class" ? ["1", "…", "9", "0"] : keys.of(binding.action);
      const cell = h("td", {}, shown.map((key) => h("kbd", {}, key)));
      const row = h("tr", {}, h("th", { scope: "row" }, binding.text), cell);
      if (changes) row.append(h("td", {}, binding.fixed ? null : changeButton(keys, binding, cell)));
      return row;
    });
    return h("section", {}, h("h2", {}, group), h("table", { class: "keys" }, h("tbody", {}, rows)));
  }));
}

/** @param {import("../base/keymap.js").KeyMap} keys @param {import("../base/keymap.js").Binding} binding @param {HTMLElement} cell */
function changeButton(keys, binding, cell) {
  const said = h("span", { class: "problem", role: "alert" });
  const button = h("button", { type: "button", class: "plain", "aria-label": `Change the key of: ${binding.text}` }, "Change");
  button.addEventListener("click", () => {
    button.textContent = "Press a key …";
    said.textContent = "";
    const take = (/** @type {KeyboardEvent} */ event) => {
      if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      window.removeEventListener("keydown", take, true);
      button.textContent = "Change";
      if (event.key === "Escape" && binding.action !== "drop") return;
      said.textContent = keys.rebind(binding.action, keyName(event));
      cell.replaceChildren(...keys.of(binding.action).map((key) => h("kbd", {}, key)));
    };
    window.addEventListener("keydown", take, true);
  });
  return h("span", { class: "group" }, button, said);
}
