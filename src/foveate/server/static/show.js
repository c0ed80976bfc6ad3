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
    const row = table.insertRow();
    const cell = row.insertCell();
    const swatch = made("span", "", "swatch");
    swatch.style.background = colors[name] ?? "transparent";
    cell.append(swatch, name);
    const meter = document.createElement("meter");
    meter.value = value;
    row.insertCell().append(meter);
    row.insertCell().textContent = value.toFixed(4);
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
    if (maps.length) {
      const row = made("div", "", "row");
      row.append(...maps);
      item.append(row);
    }
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
  whole.textContent = JSON.stringify(answer, (key, value) => (typeof value === "string" && value.length > 300 ? `${value.slice(0, 60)}...` : value), 2);
  const parts = answer.results ?? [answer];
  for (const one of parts) {
    if (file && one.mask) {
      const layers = made("div", "", "layers");
      const below = picture(URL.createObjectURL(file), "the picture that was sent");
      below.addEventListener("load", () => URL.revokeObjectURL(below.src), { once: true });
      layers.append(below, picture(`data:image/png;base64,${one.mask}`, "the mask over it", "mask"));
      found.push(layers);
    }
    if (one.shares) found.push(bars(Object.entries(one.shares).filter(([, share]) => share > 0).sort((a, b) => b[1] - a[1]), colors));
    if (one.overlay) found.push(figure(`data:image/jpeg;base64,${one.overlay}`, "overlay"));
    if (one.confidence) found.push(figure(`data:image/png;base64,${one.confidence}`, "confidence, white for 1"));
    if (file && one.objects) {
      const boxes = one.objects.map((/** @type {any} */ o) => ({ box: o.box, words: `${o.label} ${o.score.toFixed(2)}` }));
      found.push(boxed(file, boxes, one));
    }
    if (one.counts) found.push(made("p", Object.entries(one.counts).map(([name, n]) => `${name}: ${n}`).join(", ")));
    if (file && one.boxes) found.push(boxed(file, one.boxes.map((/** @type {number[]} */ box) => ({ box, words: "" })), one));
    if (one.top) found.push(bars(one.top.map((/** @type {any} */ t) => [t.label, t.probability]), colors));
    if (one.sentences) found.push(sentences(one.sentences));
    if (one.answer) found.push(made("p", one.answer, "answer"));
    if (one.answers) found.push(bars(one.answers.map((/** @type {any} */ a) => [a.text, a.probability])));
    if (Array.isArray(one.attention)) {
      const row = made("div", "", "row");
      row.append(...one.attention.map((/** @type {string} */ map, /** @type {number} */ i) => figure(`data:image/png;base64,${map}`, `hop ${i + 1}`, "map")));
      found.push(row);
    }
    if (one.svg) found.push(figure(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(one.svg)}`, one.text || "strokes", "written"));
    if (one.images) {
      const row = made("div", "", "row");
      row.append(...one.images.map((/** @type {string} */ data, /** @type {number} */ i) => figure(`data:image/png;base64,${data}`, `sample ${i}`, "drawn")));
      found.push(row);
    }
  }
  const details = document.createElement("details");
  details.append(made("summary", "The whole answer"), whole);
  found.push(details);
  return found;
}
