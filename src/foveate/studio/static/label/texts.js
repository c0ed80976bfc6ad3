// Captions and questions of an image, in a plain form; saved when a field is left.

import { Problem, inWords, request } from "../base/api.js";
import { byId, fill, h } from "../base/dom.js";

/** @typedef {{captions: string[], questions: {question: string, answer: string}[]}} TextsOf */

export class Texts {
  /** @param {string} id of the image @param {boolean} readOnly @param {() => string[]} suggested captions that a run predicts */
  constructor(id, readOnly, suggested) {
    this.id = id;
    this.readOnly = readOnly;
    this.suggested = suggested;
    /** @type {TextsOf} */
    this.texts = { captions: [], questions: [] };
    this.etag = "";
    this.saving = Promise.resolve();
    this.failed = false;
  }

  /** Save the field that is being written; the reason if something is not on the disk, or "". */
  async settle() {
    const field = document.activeElement;
    if (field instanceof HTMLElement && field.closest("#texts")) field.blur();
    await this.saving;
    if (this.failed) return "A caption or question could not be saved; the reason stands beside it.";
    return this.half ? "A question needs its answer, and an answer its question: write it, or remove the question." : "";
  }

  /** True while one half of a question is missing, so that the other is not on the disk. */
  get half() {
    return this.texts.questions.some(({ question, answer }) => Boolean(question) !== Boolean(answer));
  }

  async load() {
    try {
      const { body, etag } = await request("GET", `pictures/${this.id}/texts`);
      this.texts = body;
      this.etag = etag ?? "";
      this.draw();
      /** @type {HTMLDetailsElement} */ (byId("texts")).open = body.captions.length + body.questions.length > 0;
    } catch (error) {
      this.say(inWords(error));
    }
  }

  draw() {
    const { captions, questions } = this.texts;
    const field = (/** @type {string} */ label, /** @type {string} */ value, /** @type {(text: string) => void} */ put) => {
      const input = h("input", { type: "text", value, "aria-label": label, placeholder: label, maxlength: 1000, disabled: this.readOnly });
      input.addEventListener("change", () => {
        put(input.value.trim());
        this.save();
      });
      return input;
    };
    const drop = (/** @type {string} */ label, /** @type {() => void} */ remove) =>
      h("button", { type: "button", class: "plain", "aria-label": label, disabled: this.readOnly, onclick: () => {
        remove();
        this.save();
        this.draw();
      } }, "×");
    fill(byId("captions"), captions.map((text, i) => h("li", {}, field("Caption", text, (next) => (captions[i] = next)), drop(`Remove caption ${i + 1}`, () => captions.splice(i, 1)))));
    fill(byId("questions"), questions.map((pair, i) => h("li", {}, field("Question", pair.question, (next) => (pair.question = next)), field("Answer", pair.answer, (next) => (pair.answer = next)), drop(`Remove question ${i + 1}`, () => questions.splice(i, 1)))));
    const add = (/** @type {string} */ id, /** @type {string} */ text, /** @type {() => void} */ grow) =>
      h("button", { type: "button", class: "plain", id, disabled: this.readOnly, onclick: () => {
        grow();
        this.draw();
        const list = byId(id === "add-caption" ? "captions" : "questions");
        /** @type {HTMLElement | null} */ (list.querySelector("li:last-child input"))?.focus();
      } }, text);
    const guesses = this.suggested().filter((text) => !captions.includes(text));
    fill(
      byId("add-texts"),
      add("add-caption", "Add a caption", () => captions.push("")),
      add("add-question", "Add a question", () => questions.push({ question: "", answer: "" })),
      ...guesses.slice(0, 1).map((text) => h("button", { type: "button", class: "plain", onclick: () => {
        captions.push(text);
        this.save();
        this.draw();
      } }, `Take “${text}”`)),
    );
  }

  /** Save what is complete; half a question waits for its other half. */
  save() {
    const captions = this.texts.captions.filter(Boolean);
    const questions = this.texts.questions.filter(({ question, answer }) => question && answer);
    this.saving = this.saving.then(async () => {
      try {
        this.say("saving …");
        const { etag } = await request("PUT", `pictures/${this.id}/texts`, { captions, questions }, { etag: this.etag });
        this.etag = etag ?? this.etag;
        this.failed = false;
        this.say(this.half ? "a question needs its answer" : "on disk");
      } catch (error) {
        this.failed = true;
        const stale = error instanceof Problem && error.status === 412;
        this.say(stale ? "Changed elsewhere meanwhile: copy what you wrote, and load the page again." : inWords(error));
      }
    });
  }

  /** @param {string} text */
  say(text) {
    byId("texts-state").textContent = text;
  }
}
