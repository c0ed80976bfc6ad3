// @ts-check
// Answers as elements: pictures, tables and sentences, and the whole answer as JSON below.

/**
 * An element with text. @param {string} tag @param {string} text @param {string} [kind]
 * @returns {HTMLElement}
 */
function made(tag, text, kind = "") {
  const found = document.createElement(tag);
  found.textContent = text;
  found.className = kind;
  return found;
}

/** A picture. @param {string} source @param {string} words @param {string} [kind] */
function picture(source, words, kind = "") {
  const image = document.createElement("img");
  image.src = source;
  image.alt = words;
  image.className = kind;
  return image;
}

/** A picture with a caption. @param {string} source @param {string} words @param {string} [kind] */
function figure(source, words, kind = "") {
  const found = document.createElement("figure");
  found.append(picture(source, words, kind), made("figcaption", words));
  return found;
}

/**
 * A table of names and numbers, each with a bar.
 * @param {[string, number][]} rows @param {Record<string, string>} [colors]
 */
function bars(rows, colors = {}) {
  const table = document.createElement("table");
  for (const [name, value] of rows) {
    const line = table.insertRow();
    const cell = line.insertCell();
    const swatch = made("span", "", "swatch");
    swatch.style.background = colors[name] ?? "transparent";
    cell.append(swatch, name);
    const meter = document.createElement("meter");
    meter.value = value;
    line.insertCell().append(meter);
    line.insertCell().textContent = value.toFixed(4);
  }
  return table;
}

/** Sentences with their scores, and pictures of attention. @param {any[]} sentences */
function sentences(sentences) {
  const list = document.createElement("ol");
  for (const one of sentences) {
    const item = made("li", one.text || "(nothing)");
    item.append(made("small", ` ${Number(one.score).toFixed(3)}`));
    const maps = (one.attention ?? []).map((/** @type {string} */ map, /** @type {number} */ i) =>
      figure(`data:image/png;base64,${map}`, one.words[i], "map"),
    );
    if (maps.length) item.append(row(maps));
    list.append(item);
  }
  return list;
}

/** Boxes drawn over an image. @param {File} file @param {{box: number[], words: string}[]} boxes @param {any} answer */
function boxed(file, boxes, answer) {
  const canvas = document.createElement("canvas");
  canvas.width = answer.width;
  canvas.height = answer.height;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", boxes.map((one) => one.words).join(", ") || "no object");
  createImageBitmap(file).then((bitmap) => {
    const pen = canvas.getContext("2d");
    if (!pen) return;
    const width = Math.max(1, Math.round(Math.max(canvas.width, canvas.height) / 300));
    pen.drawImage(bitmap, 0, 0);
    pen.lineWidth = width;
    pen.font = `${8 * width}px sans-serif`;
    for (const { box, words } of boxes) {
      pen.strokeStyle = pen.fillStyle = "#ffcc33";
      pen.strokeRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
      pen.fillText(words, box[0] + width, box[1] + 8 * width);
    }
  });
  return canvas;
}

/** A value of the answer for the eye: long texts are cut. @param {string} _key @param {unknown} value */
function shortened(_key, value) {
  return typeof value === "string" && value.length > 300 ? `${value.slice(0, 60)}...` : value;
}

/** Figures side by side. @param {HTMLElement[]} figures */
function row(figures) {
  const found = made("div", "", "row");
  found.append(...figures);
  return found;
}

/** The picture that was sent, with its mask over it. @param {File} file @param {string} mask as base64 */
function masked(file, mask) {
  const layers = made("div", "", "layers");
  const below = picture(URL.createObjectURL(file), "the picture that was sent");
  below.addEventListener("load", () => URL.revokeObjectURL(below.src), { once: true });
  layers.append(below, picture(`data:image/png;base64,${mask}`, "the mask over it", "mask"));
  return layers;
}

/** @typedef {{label: string, probability: number}} Ranked */
/** @typedef {{label: string, score: number, box: number[]}} Found */

/**
 * The parts of one answer.
 * @param {any} one @param {File | null} file @param {Record<string, string>} colors
 * @returns {HTMLElement[]}
 */
function shown(one, file, colors) {
  /** @type {HTMLElement[]} */
  const found = [];
  if (file && one.mask) found.push(masked(file, one.mask));
  if (one.shares) {
    /** @type {[string, number][]} */
    const shares = Object.entries(one.shares);
    const present = shares.filter(([, share]) => share > 0);
    found.push(bars(present.sort((a, b) => b[1] - a[1]), colors));
  }
  if (one.overlay) found.push(figure(`data:image/jpeg;base64,${one.overlay}`, "overlay"));
  if (one.confidence) found.push(figure(`data:image/png;base64,${one.confidence}`, "confidence, white for 1"));
  if (file && one.objects) {
    const boxes = one.objects.map((/** @type {Found} */ o) => ({ box: o.box, words: `${o.label} ${o.score.toFixed(2)}` }));
    found.push(boxed(file, boxes, one));
  }
  if (one.counts) {
    const counts = Object.entries(one.counts).map(([name, number]) => `${name}: ${number}`);
    found.push(made("p", counts.join(", ")));
  }
  if (file && one.boxes) {
    const boxes = one.boxes.map((/** @type {number[]} */ box) => ({ box, words: "" }));
    found.push(boxed(file, boxes, one));
  }
  if (one.top) found.push(bars(one.top.map((/** @type {Ranked} */ t) => [t.label, t.probability]), colors));
  if (one.sentences) found.push(sentences(one.sentences));
  if (one.answer) found.push(made("p", one.answer, "answer"));
  if (one.answers) {
    found.push(bars(one.answers.map((/** @type {{text: string, probability: number}} */ a) => [a.text, a.probability])));
  }
  if (Array.isArray(one.attention)) found.push(row(one.attention.map(mapped)));
  if (one.svg) {
    const source = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(one.svg)}`;
    found.push(figure(source, one.text || "strokes", "written"));
  }
  if (one.images) found.push(row(one.images.map(sample)));
  return found;
}

/** The attention of a hop. @param {string} data @param {number} index */
function mapped(data, index) {
  return figure(`data:image/png;base64,${data}`, `hop ${index + 1}`, "map");
}

/** A generated image. @param {string} data @param {number} index */
function sample(data, index) {
  return figure(`data:image/png;base64,${data}`, `sample ${index}`, "drawn");
}

/**
 * An answer as elements.
 * @param {any} answer @param {File | null} file of the image that was sent
 * @param {{tables: Record<string, {classes?: {name: string, color: string}[]}>}} model
 * @returns {HTMLElement[]}
 */
export function show(answer, file, model) {
  /** @type {HTMLElement[]} */
  const found = [];
  /** @type {Record<string, string>} */
  const colors = {};
  for (const table of Object.values(model.tables)) for (const one of table.classes ?? []) colors[one.name] = one.color;
  const whole = document.createElement("pre");
  whole.textContent = JSON.stringify(answer, shortened, 2);
  for (const one of answer.results ?? [answer]) found.push(...shown(one, file, colors));
  const details = document.createElement("details");
  details.append(made("summary", "The whole answer"), whole);
  found.push(details);
  return found;
}
