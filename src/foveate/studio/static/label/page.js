// The label page: loads an image and its labels, and ties tools, panels, keys and autosave together.

import { colorOf } from "../base/classes.js";
import { say } from "../base/dialog.js";
import { byId, fill, h } from "../base/dom.js";
import { KeyMap } from "../base/keymap.js";
import { Stage } from "../canvas/stage.js";
import { listen } from "../canvas/pointer.js";
import { LabelDocument } from "../labels/document.js";
import { BoxCut } from "../tools/cut.js";
import { Brush } from "../tools/brush.js";
import { Desk } from "../tools/desk.js";
import { Polygon } from "../tools/polygon.js";
import { ScribbleFill } from "../tools/fill.js";
import { Select } from "../tools/select.js";
import { listenToKeys } from "./actions.js";
import { drawBar } from "./bar.js";
import { drawOptions, drawSaved, drawTime, drawTools, markTool } from "./chrome.js";
import { WorkClock } from "./clock.js";
import { CrossHair } from "./crosshair.js";
import { finish, reopen, resolve } from "./journey.js";
import { Panels } from "./panels.js";
import { Saver } from "./saver.js";
import { Suggestions } from "./suggestions.js";
import { Texts } from "./texts.js";

/** @typedef {import("../labels/polygon.js").Point} Point */
/** @typedef {import("../base/shell.js").Project} Project */
/** @typedef {import("../canvas/picture.js").Picture} Picture */
/** @typedef {import("../tools/desk.js").Tool} Tool */
/** @typedef {import("./chrome.js").Options & {label: string | null, tool: string}} Settings */

const STORE = "foveate-label";
/** @type {Settings} */
const DEFAULTS = { label: null, diameter: 24, keep: false, objects: false, opacity: 0.5, patterns: false, tool: "polygon" };

export class LabelPage {
  /**
   * @param {Project} project
   * @param {Picture} picture
   * @param {{stored: import("../labels/document.js").Stored & import("./saver.js").Info, etag: string}} answer
   * @param {import("./journal.js").Journal | null} journal
   */
  constructor(project, picture, answer, journal) {
    this.project = project;
    this.picture = picture;
    this.classes = project.classes;
    this.keys = new KeyMap(window.localStorage);
    this.settings = { ...DEFAULTS, ...stored() };
    if (!this.classes.some(({ name }) => name === this.settings.label)) this.settings.label = this.classes[0]?.name ?? null;
    this.etag = answer.etag;
    const { state, seconds, strokes, origin } = answer.stored;
    this.info = { state, strokes: strokes ?? 0, origin: origin ?? null };
    this.clock = new WorkClock(seconds ?? 0);
    this.journal = journal;
    /** @type {Suggestions | null} */
    this.suggestions = null;
    /** @type {Texts | null} */
    this.texts = null;
    /** @type {Point | null} */
    this.pointer = null;
    this.space = false;
    this.open(new LabelDocument(answer.stored));
  }

  /** Put labels on the stage. @param {LabelDocument} labels */
  open(labels) {
    this.labels = labels;
    const desk = new Desk(this.picture.id, labels, this.settings, (label) => colorOf(this.classes, label));
    this.desk = desk;
    desk.readOnly = this.project.read_only;
    byId("stage").replaceChildren();
    this.look = {
      color: (/** @type {string} */ label) => rgb(colorOf(this.classes, label)),
      pattern: (/** @type {string} */ label) => (this.settings.patterns ? 1 + this.classes.findIndex(({ name }) => name === label) : 0),
      opacity: this.settings.opacity,
      selected: desk.selected,
    };
    this.stage = new Stage(byId("stage"), this.picture, labels, this.look, (context) => this.drawTools(context));
    desk.view = this.stage.view;
    desk.painter = this.stage.painter;
    const select = new Select(desk);
    this.select = select;
    select.take = (at) => this.suggestions?.takeRegion(at) ?? false;
    /** @type {Tool[]} */
    this.tools = [new Polygon(desk), new Brush(desk, false), new Brush(desk, true), new ScribbleFill(desk), new BoxCut(desk), select];
    /** @type {Tool} */
    this.tool = this.tools.find(({ name }) => name === this.settings.tool) ?? this.tools[0];
    const info = () => ({ ...this.info, state: this.info.state === "untouched" ? "draft" : this.info.state, seconds: this.clock.seconds, origin: this.origin() });
    this.saver = new Saver({ id: this.picture.id, folder: this.project.folder, etag: this.etag, labels, journal: this.journal, info, classes: () => this.classes.map(({ name }) => name) });
    this.panels = new Panels(desk, this.classes, { choose: (label) => this.choose(label), renew: (classes) => this.renew(classes), suggested: () => this.suggestions });
    this.crosshair = new CrossHair(this.stage, () => this.pointer, {
      drags: (at) => this.tool?.drags(at) ?? false,
      press: (kind, at, alt) => this.press(kind, { at, alt, shift: false, double: false }),
      moved: (at) => this.drawWhere(at, true),
    });
    desk.redrawTools = () => this.stage?.redrawTools();
    desk.redrawLabels = (rect) => this.stage?.redrawLabels(rect);
    desk.onchange = () => this.changed();
    desk.onstep = () => {
      this.info.strokes += 1;
      this.touch();
    };
    this.saver.onstate = () => drawSaved(/** @type {Saver} */ (this.saver));
    this.saver.onstale = () => void resolve(this);
    if (desk.readOnly) this.saver.set("read-only");
  }

  /** The parts that `open` made. */
  get parts() {
    const { labels, desk, stage, tools, tool, saver, panels, crosshair, select, look } = this;
    if (!labels || !desk || !stage || !tools || !tool || !saver || !panels || !crosshair || !select || !look) throw new Error("the page is not open");
    return { labels, desk, stage, tools, tool, saver, panels, crosshair, select, look };
  }

  start() {
    const { stage, tools, saver, desk, crosshair } = this.parts;
    const { picture, keys } = this;
    document.title = `${picture.name} – Foveate`;
    byId("name").textContent = picture.name;
    byId("blind").hidden = !picture.validation;
    byId("stage").setAttribute("aria-label", `${picture.name}, ${picture.width} by ${picture.height} pixels`);
    drawBar(this);
    drawTools(tools, keys, (tool) => this.use(tool.name));
    stage.onview = () => this.drawZoom();
    listen(stage, {
      down: (press) => this.begin(press),
      move: (press) => {
        this.pointer = press.at;
        this.press("move", press);
        this.drawWhere(press.at);
      },
      up: (press) => this.press("up", press),
      hover: (point) => this.hover(point),
      abort: () => this.parts.tool.drop(),
      panning: () => this.space,
    });
    listenToKeys(this);
    document.addEventListener("click", (event) => {
      // After a click on what stands around, keys go to the drawing again.
      const around = /** @type {Element} */ (event.target).closest("#tools, #options, #classes, #regions, #take, #zoom, #steps");
      if (event.detail && around && !/** @type {Element} */ (event.target).matches("input")) byId("stage").focus({ preventScroll: true });
    });
    window.addEventListener("beforeunload", (event) => {
      // What the journal holds is offered again, so that only an unkept stroke asks to stay.
      const texts = this.texts !== null && (this.texts.failed || this.texts.half); // no journal keeps these
      if ((saver.pending && !saver.journal) || texts) event.preventDefault();
    });
    window.setInterval(() => this.drawTime(), 1000);
    this.use(this.parts.tool.name);
    this.put({});
    this.drawTime();
    drawSaved(saver);
    this.drawState();
    this.drawZoom();
    crosshair.hide();
    byId("stage").focus({ preventScroll: true });
    this.texts = new Texts(picture.id, desk.readOnly, () => this.suggestions?.captions ?? []);
    void this.texts.load();
    void this.suggest();
  }

  /** Show pre-labels, but never on an image of the validation fifth. */
  async suggest() {
    const { picture, project } = this;
    if (picture.validation || project.run === null || this.info.state === "done") return;
    this.suggestions = await Suggestions.load(this.parts.desk);
    if (!this.suggestions) return;
    this.suggestions.show(true);
    const { keys } = this;
    fill(
      byId("take"),
      h("button", { type: "button", id: "take-all", title: keys.of("take-all")[0], onclick: () => this.suggestions?.takeAll() }, "Take all"),
      h("button", { type: "button", title: keys.of("take-class")[0], onclick: () => this.takeClass() }, "Take this class"),
    );
    this.changed();
  }

  takeClass() {
    if (this.settings.label) this.suggestions?.takeClass(this.settings.label);
  }

  /** The pre-label that these labels grew from, or null. */
  origin() {
    if (!this.suggestions?.taken) return this.info.origin;
    if (this.info.state === "done" || !this.info.origin) this.info.origin = this.suggestions.origin();
    return this.info.origin;
  }

  // Pointer and tools

  /** @param {import("../canvas/pointer.js").Press} press */
  begin(press) {
    byId("stage").focus({ preventScroll: true });
    this.parts.crosshair.hide();
    this.pointer = press.at;
    this.press("down", press);
  }

  /** @param {"down" | "move" | "up"} kind @param {import("../canvas/pointer.js").Press} press */
  press(kind, press) {
    const { tool, desk } = this.parts;
    if (desk.busy && kind === "down") return;
    tool[kind]?.(press);
    if (kind !== "move") this.drawHint();
    desk.redrawTools();
  }

  /** @param {Point | null} point */
  hover(point) {
    this.pointer = point;
    if (point) {
      this.parts.crosshair.hide();
      this.drawWhere(point);
    }
    this.parts.stage.redrawTools();
  }

  /** @param {string} name */
  use(name) {
    const { tools, tool, crosshair } = this.parts;
    const next = tools.find((one) => one.name === name) ?? tool;
    if (next !== tool) {
      if (tool.takes) void Promise.resolve(tool.finish?.()).then(() => tool.drop());
      else tool.drop();
    }
    crosshair.pressed = false;
    this.tool = next;
    this.settings.tool = next.name;
    byId("stage").style.cursor = next.cursor;
    markTool(next);
    this.store();
    this.drawHint();
    this.parts.stage.redrawTools();
  }

  /** @param {string} label */
  choose(label) {
    const { desk } = this.parts;
    this.settings.label = label;
    if (this.tool?.name === "select" && desk.selected.size) desk.editSelection("Relabel", (shape) => ({ ...shape, label }));
    desk.active = 0;
    this.store();
    this.changed();
    desk.redrawTools();
    this.say(label);
  }

  /** @param {import("../base/classes.js").Class[]} classes */
  renew(classes) {
    this.classes = classes;
    this.parts.panels.classes = classes;
    this.parts.desk.redrawLabels(null);
    this.changed();
  }

  /** Change options. @param {Partial<Settings>} change */
  put(change) {
    Object.assign(this.settings, change);
    const { look, desk } = this.parts;
    look.opacity = this.settings.opacity;
    const focused = document.activeElement?.id;
    const option = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.option;
    if (focused !== "size" && focused !== "opacity") {
      drawOptions(this.settings, this.keys, (more) => this.put(more));
      if (option) /** @type {HTMLElement | null} */ (document.querySelector(`[data-option=${option}]`))?.focus();
    } else byId("options").querySelector("output")?.replaceChildren(`${this.settings.diameter} px`);
    if (change.objects === false) desk.active = 0;
    desk.redrawLabels(null);
    desk.redrawTools();
    this.store();
    this.changed();
  }

  store() {
    window.localStorage.setItem(STORE, JSON.stringify(this.settings));
  }

  // Steps and saving

  undo() {
    const { labels, tool, desk } = this.parts;
    if (tool.name === "polygon" && tool.back()) return;
    if (desk.busy) return;
    const step = labels.undo();
    if (!step) {
      say(labels.history.dropped ? "Earlier steps took more than 64 MB and are gone." : "Nothing to undo.");
      return;
    }
    this.say(`undone: ${step.name}`);
    this.touch();
  }

  redo() {
    const { labels, desk } = this.parts;
    if (desk.busy) return;
    const step = labels.redo();
    if (!step) say("Nothing to redo.");
    else {
      this.say(`done again: ${step.name}`);
      this.touch();
    }
  }

  /** Labels have changed: save them. */
  touch() {
    if (this.info.state === "untouched") this.info.state = "draft";
    this.drawState();
    this.changed();
    void this.parts.saver.changed();
  }

  // Drawing what stands around

  /** @param {CanvasRenderingContext2D} context */
  drawTools(context) {
    this.tool?.draw(context, this.crosshair?.at ?? this.pointer);
    this.crosshair?.draw(context);
  }

  changed() {
    this.panels?.update();
    this.drawHint();
  }

  drawHint() {
    const hint = this.tool?.hint() ?? "";
    const text = this.tool ? `${this.tool.title}. ${hint}${hint.endsWith("…") ? "" : "."}` : "";
    const line = byId("hint");
    if (line.textContent !== text) line.textContent = text;
  }

  /** @param {Point} at @param {boolean} [spoken] say it to screen readers, too */
  drawWhere(at, spoken = false) {
    byId("where").setAttribute("aria-live", spoken ? "polite" : "off");
    const [x, y] = [Math.floor(at.x), Math.floor(at.y)];
    const inside = x >= 0 && y >= 0 && x < this.picture.width && y < this.picture.height;
    const shape = inside ? this.labels?.at(x, y) : undefined;
    const guess = inside && !shape ? this.suggestions?.at(x, y) : undefined;
    const what = shape ? shape.label : guess ? `pre-label ${guess}` : "undecided";
    byId("where").textContent = inside ? `${x}, ${y} · ${what}` : "";
  }

  drawZoom() {
    const scale = document.getElementById("scale");
    if (scale && this.stage) scale.textContent = `${Math.round(100 * this.stage.view.scale)} %`;
  }

  drawTime() {
    drawTime(this.clock.seconds, this.project, this.suggestions !== null);
  }

  skipOrReopen() {
    const closed = this.info.state === "done" || this.info.state === "skipped";
    return closed ? reopen(this) : finish(this, "skipped");
  }

  drawState() {
    const closed = this.info.state === "done" || this.info.state === "skipped";
    const skip = document.getElementById("skip");
    if (skip) skip.textContent = closed ? "Reopen" : "Skip";
    const mark = byId("state");
    mark.textContent = this.info.state;
    mark.dataset.state = this.info.state;
  }

  /** @param {number} factor 0: the whole image */
  zoom(factor) {
    const { view } = this.parts.stage;
    const at = this.crosshair?.at ?? this.pointer;
    const { x, y } = at ? view.toScreen(at.x, at.y) : { x: view.width / 2, y: view.height / 2 };
    if (factor) view.zoomAt(x, y, factor);
    else view.fit();
    this.parts.stage.moved();
  }

  /** @param {string} text for screen readers and the status line */
  say(text) {
    byId("where").setAttribute("aria-live", "polite");
    byId("where").textContent = text;
  }

}

/** @returns {Partial<Settings>} */
function stored() {
  try {
    return JSON.parse(window.localStorage.getItem(STORE) ?? "{}");
  } catch {
    return {};
  }
}

/** @param {string} color "#rrggbb" @returns {[number, number, number]} */
function rgb(color) {
  const part = (/** @type {number} */ i) => Number.parseInt(color.slice(i, i + 2), 16);
  return [part(1), part(3), part(5)];
}

