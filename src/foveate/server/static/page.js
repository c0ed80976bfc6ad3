// @ts-check
// The page of `foveate serve`: choose a model, give it an input, see the answer.

import { show } from "./show.js";

/**
 * @typedef {{key: string, kind: "text" | "file", noun: string, suffixes: string[]}} Input
 * @typedef {{name: string, help: string, default: unknown, kind: string, choices?: string[], largest?: number}} Setting
 * @typedef {{name: string, title: string, model: string, runtime: string, inputs: Input[], options: Setting[],
 *   parts: Setting[], tables: Record<string, {entries: number, classes?: {name: string, color: string}[]}>}} Model
 */

/** @type {Model[]} */
let models = [];

/** The element with an id. @param {string} id @returns {HTMLElement} */
function element(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found;
}

const select = /** @type {HTMLSelectElement} */ (element("model"));
const token = /** @type {HTMLInputElement} */ (element("token"));
const send = /** @type {HTMLButtonElement} */ (element("send"));

/** Say what happens. @param {string} text @param {boolean} [wrong] */
function say(text, wrong = false) {
  element("status").textContent = text;
  element("status").className = wrong ? "wrong" : "";
}

/** The headers of a request. @returns {Record<string, string>} */
function headers() {
  return token.value ? { Authorization: `Bearer ${token.value}` } : {};
}

/** Ask the server for the models. */
async function load() {
  const response = await fetch("/v1/models", { headers: headers() });
  if (response.status === 401) {
    element("token-row").hidden = false;
    say("This server wants its token", true);
    return;
  }
  if (!response.ok) {
    say((await response.json()).detail, true);
    return;
  }
  const answer = await response.json();
  models = answer.models;
  if (!answer.ready) {
    say("The models are being loaded");
    setTimeout(load, 1000);
    return;
  }
  select.replaceChildren(...models.map((model) => new Option(model.name, model.name)));
  choose();
  say("Ready");
  send.disabled = false;
}

/** The model that is chosen. @returns {Model} */
function chosen() {
  return models[Math.max(0, select.selectedIndex)];
}

/** Offer what the chosen model takes. */
function choose() {
  const model = chosen();
  element("about").textContent = `${model.title}: ${model.model}, in ${model.runtime}`;
  const fields = model.inputs.map((one) => labelled(one.key, `The ${one.noun}`, inputField(one)));
  element("inputs").replaceChildren(...fields);
  const options = all(model).map((one) => labelled(`option-${one.name}`, one.help, optionField(one)));
  element("options").replaceChildren(...options);
}

/** Everything that can be chosen for a model. @param {Model} model @returns {Setting[]} */
function all(model) {
  /** @type {Setting[]} */
  const generated = [
    { name: "count", help: "number of samples", default: 1, kind: "integer" },
    { name: "seed", help: "seed of the noise", default: 0, kind: "integer" },
  ];
  return [...(model.inputs.length ? [] : generated), ...model.parts, ...model.options];
}

/** A field with its label. @param {string} id @param {string} words @param {HTMLElement} field */
function labelled(id, words, field) {
  const row = document.createElement("p");
  const label = document.createElement("label");
  field.id = id;
  label.htmlFor = id;
  label.textContent = words;
  row.append(label, field);
  return row;
}

/** The field of an input. @param {Input} one */
function inputField(one) {
  if (one.kind === "text") {
    const area = document.createElement("textarea");
    area.rows = 2;
    area.required = true;
    return area;
  }
  const file = document.createElement("input");
  file.type = "file";
  file.accept = one.suffixes.join(",");
  file.required = true;
  return file;
}

/** The field of an option. @param {Setting} one */
function optionField(one) {
  if (one.choices) {
    const list = document.createElement("select");
    list.append(...one.choices.map((choice) => new Option(choice, choice, false, choice === one.default)));
    return list;
  }
  const field = document.createElement("input");
  field.type = one.kind === "boolean" ? "checkbox" : "text";
  field.placeholder = one.default === null || one.default === undefined ? "" : String(one.default);
  return field;
}

/** Options that differ from what the model does by itself. @param {Model} model */
function query(model) {
  const fields = new URLSearchParams();
  for (const one of all(model)) {
    const field = /** @type {HTMLInputElement | HTMLSelectElement} */ (element(`option-${one.name}`));
    const ticked = field instanceof HTMLInputElement && field.type === "checkbox";
    const value = ticked ? (field.checked ? "1" : "") : field.value.trim();
    if (value && value !== String(one.default)) fields.set(one.name, value);
  }
  return fields;
}

/** Bytes as base64. @param {File} file @returns {Promise<string>} */
function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
}

/** Send the inputs, and show the answer. @param {SubmitEvent} event */
async function ask(event) {
  event.preventDefault();
  const model = chosen();
  send.disabled = true;
  say("The model is working");
  try {
    /** @type {Record<string, string>} */
    const body = {};
    /** @type {File | null} */
    let picture = null;
    for (const one of model.inputs) {
      const field = /** @type {HTMLInputElement} */ (element(one.key));
      const file = one.kind === "file" && field.files ? field.files[0] : null;
      body[one.key] = file ? await base64(file) : field.value;
      if (file) body.name = file.name;
      if (file && one.key === "image") picture = file;
    }
    const response = await fetch(`/v1/models/${encodeURIComponent(model.name)}/predict?${query(model)}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headers() },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) {
      say(`${answer.title}: ${answer.detail}`, true);
      return;
    }
    element("answer").hidden = false;
    element("answer").replaceChildren(...show(answer, picture, model));
    const seconds = Object.values(answer.seconds ?? {}).reduce((sum, one) => sum + Number(one), 0);
    say(`Answered in ${seconds.toFixed(2)} s${answer.note ? `; ${answer.note}` : ""}`);
  } catch (error) {
    say(String(error), true);
  } finally {
    send.disabled = false;
  }
}

select.addEventListener("change", choose);
element("ask").addEventListener("submit", (event) => ask(/** @type {SubmitEvent} */ (event)));
element("use-token").addEventListener("click", load);
load();
