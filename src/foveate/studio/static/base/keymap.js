// The keys: what each does, and what a person changed.

/** @typedef {{action: string, group: string, text: string, keys: string[], fixed?: boolean}} Binding */

/** @type {readonly Binding[]} */
export const BINDINGS = [
  { action: "tool-polygon", group: "Tools", text: "Polygon", keys: ["P"] },
  { action: "tool-brush", group: "Tools", text: "Brush", keys: ["B"] },
  { action: "tool-erase", group: "Tools", text: "Eraser: back to undecided", keys: ["E"] },
  { action: "tool-fill", group: "Tools", text: "Scribble-fill: a scribble for each class, then finish", keys: ["F"] },
  { action: "tool-cut", group: "Tools", text: "Box-cut: a box, then clicks that add or (with Alt) take away", keys: ["G"] },
  { action: "tool-select", group: "Tools", text: "Select regions", keys: ["V"] },
  { action: "finish", group: "Drawing", text: "Finish: close the polygon, take the fill or cut; else begin a new object", keys: ["N"] },
  { action: "back", group: "Drawing", text: "Remove the last point; delete the selected regions", keys: ["Backspace", "Delete"] },
  { action: "drop", group: "Drawing", text: "Drop what is being drawn; select nothing", keys: ["Escape"] },
  { action: "smaller", group: "Drawing", text: "Smaller brush", keys: ["["] },
  { action: "larger", group: "Drawing", text: "Larger brush", keys: ["]"] },
  { action: "keep", group: "Drawing", text: "Paint only where nothing is decided", keys: ["K"] },
  { action: "objects", group: "Drawing", text: "Tell objects apart (instances)", keys: ["M"] },
  { action: "join", group: "Drawing", text: "Join the selected regions to one object, or part them", keys: ["J"] },
  { action: "undo", group: "Drawing", text: "Undo", keys: ["Ctrl+Z"] },
  { action: "redo", group: "Drawing", text: "Redo", keys: ["Ctrl+Shift+Z", "Ctrl+Y"] },
  { action: "class", group: "Classes", text: "Class 1 to 10", keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"], fixed: true },
  { action: "find-class", group: "Classes", text: "Find a class by name", keys: ["C"] },
  { action: "take-all", group: "Pre-labels", text: "Take all pre-labels", keys: ["Y"] },
  { action: "take-class", group: "Pre-labels", text: "Take the pre-labels of the current class", keys: ["Shift+Y"] },
  { action: "take-region", group: "Pre-labels", text: "Take the pre-label under the cross-hair", keys: ["R"] },
  { action: "left", group: "Cross-hair", text: "Move the cross-hair; with Shift by 10 pixels", keys: ["ArrowLeft"], fixed: true },
  { action: "right", group: "Cross-hair", text: "", keys: ["ArrowRight"], fixed: true },
  { action: "up", group: "Cross-hair", text: "", keys: ["ArrowUp"], fixed: true },
  { action: "down", group: "Cross-hair", text: "", keys: ["ArrowDown"], fixed: true },
  { action: "place", group: "Cross-hair", text: "Place a point; begin or end a stroke; with Alt take away", keys: ["Enter"], fixed: true },
  { action: "zoom-in", group: "View", text: "Zoom in (or the wheel)", keys: ["+", "="] },
  { action: "zoom-out", group: "View", text: "Zoom out", keys: ["-"] },
  { action: "fit", group: "View", text: "Show the whole image", keys: ["Home"] },
  { action: "pan", group: "View", text: "Move the image while held and dragged (or the middle button)", keys: ["Space"], fixed: true },
  { action: "hide", group: "View", text: "Hide the labels while held", keys: ["T"] },
  { action: "opacity", group: "View", text: "Opacity of the labels", keys: ["O"] },
  { action: "patterns", group: "View", text: "A pattern for each class", keys: ["I"] },
  { action: "previous", group: "Images", text: "Previous image", keys: ["A"] },
  { action: "next", group: "Images", text: "Next image", keys: ["D"] },
  { action: "next-open", group: "Images", text: "Next image that is not done", keys: ["Shift+D"] },
  { action: "done", group: "Images", text: "Done, and next", keys: ["Ctrl+Enter"] },
  { action: "skip", group: "Images", text: "Skip, and next; reopen what is done or skipped", keys: ["X"] },
  { action: "gallery", group: "Images", text: "Back to all images", keys: ["Q"] },
  { action: "help", group: "Images", text: "All keys", keys: ["?"] },
];

const STORE = "foveate-keys";
/** Left to the browser: closing, opening and reloading. */
const RESERVED = new Set(["Ctrl+W", "Ctrl+N", "Ctrl+T", "Ctrl+R", "Ctrl+Shift+R", "Ctrl+L", "Tab", "Shift+Tab", "F5"]);

/**
 * The name of a pressed key, as "Ctrl+Shift+Z". Shift is named only where the key does not already show it.
 * @param {{key: string, code?: string, ctrlKey: boolean, metaKey: boolean, altKey: boolean, shiftKey: boolean}} event
 * @returns {string}
 */
export function keyName(event) {
  let { key } = event;
  if (key === " ") key = "Space";
  const digit = /^Digit(\d)$/.exec(event.code ?? "");
  if (digit && !event.shiftKey) [, key] = digit; // digits are where they are on any layout
  const letter = key.length === 1 && key.toLowerCase() !== key.toUpperCase();
  if (letter) key = key.toUpperCase();
  const shift = event.shiftKey && (letter || key.length > 1);
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift ? "Shift+" : ""}${key}`;
}

export class KeyMap {
  /** @param {Pick<Storage, "getItem" | "setItem" | "removeItem"> | null} [storage] where changed keys are kept */
  constructor(storage = null) {
    this.storage = storage;
    /** @type {Map<string, string[]>} */
    this.keys = new Map(BINDINGS.map(({ action, keys }) => [action, [...keys]]));
    for (const [action, keys] of Object.entries(this.stored())) if (this.keys.has(action)) this.keys.set(action, keys);
  }

  /** @returns {Record<string, string[]>} */
  stored() {
    try {
      return JSON.parse(this.storage?.getItem(STORE) ?? "{}");
    } catch {
      return {};
    }
  }

  /** The action of a key's name, or null. @param {string} name */
  action(name) {
    for (const [action, keys] of this.keys) if (keys.includes(name)) return action;
    return null;
  }

  /** @param {string} action @returns {string[]} */
  of(action) {
    return this.keys.get(action) ?? [];
  }

  /**
   * Give an action another key.
   * @param {string} action
   * @param {string} name
   * @returns {string} '' or the reason why it cannot have it
   */
  rebind(action, name) {
    const binding = BINDINGS.find((one) => one.action === action);
    if (!binding || binding.fixed) return "this key cannot be changed";
    if (RESERVED.has(name)) return `${name} belongs to the browser; press another key`;
    const owner = this.action(name);
    if (owner && owner !== action) {
      const text = BINDINGS.find((one) => one.action === owner)?.text || owner;
      return `${name} is the key of “${text}”; press another key, or change that one first`;
    }
    this.keys.set(action, [name]);
    this.storage?.setItem(STORE, JSON.stringify({ ...this.stored(), [action]: [name] }));
    return "";
  }

  /** Back to the keys that Foveate comes with. */
  reset() {
    this.storage?.removeItem(STORE);
    this.keys = new Map(BINDINGS.map(({ action, keys }) => [action, [...keys]]));
  }
}
