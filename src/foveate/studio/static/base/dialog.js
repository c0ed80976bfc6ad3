// Modal dialogs, and the line that tells screen readers and people what happened.

import { fill, h } from "./dom.js";

/**
 * Ask, and wait for one of the answers.
 * @param {string} title
 * @param {(string | Node)[]} body paragraphs or elements
 * @param {{value: string, text: string, kind?: "main" | "danger"}[]} answers the last is taken by Escape
 * @returns {Promise<string>}
 */
export function ask(title, body, answers) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" });
    const finish = (/** @type {string} */ value) => {
      dialog.close();
      dialog.remove();
      resolve(value);
    };
    const last = answers[answers.length - 1].value;
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      finish(last);
    });
    const buttons = answers.map(({ value, text, kind }) =>
      h("button", { type: "button", class: kind ?? "", "data-answer": value, onclick: () => finish(value) }, text),
    );
    fill(
      dialog,
      h("h2", { id: "dialog-title" }, title),
      ...body.map((part) => (typeof part === "string" ? h("p", {}, part) : part)),
      h("div", { class: "answers" }, buttons),
    );
    document.body.append(dialog);
    dialog.showModal();
    (buttons.find((_, i) => answers[i].kind === "main") ?? buttons[0]).focus();
  });
}

/**
 * Show a dialog of one's own making, which closes by Escape or its button.
 * @param {string} title
 * @param {...Node} body
 * @returns {HTMLDialogElement}
 */
export function show(title, ...body) {
  const dialog = h("dialog", { class: "dialog wide", "aria-labelledby": "dialog-title" });
  const close = h("button", { type: "button", class: "plain close", onclick: () => dialog.close() }, "Close");
  fill(dialog, h("header", {}, h("h2", { id: "dialog-title" }, title), close), ...body);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** @type {HTMLElement | null} */
let line = null;
let timer = 0;

/** Say what happened, for eyes and screen readers; it stays for some seconds. @param {string} text @param {"info" | "bad"} [kind] */
export function say(text, kind = "info") {
  if (!line) {
    line = h("p", { class: "said", role: "status", "aria-live": "polite" });
    document.body.append(line);
  }
  line.textContent = text;
  line.dataset.kind = kind;
  line.classList.add("seen");
  window.clearTimeout(timer);
  timer = window.setTimeout(() => line?.classList.remove("seen"), kind === "bad" ? 12000 : 5000);
}
