// Pointers: wheel zoom, panning in every tool, one finger draws and two pan; the rest goes to the tool.

/** @typedef {{x: number, y: number}} Point in pixels of the image */
/**
 * @typedef {object} Press
 * @property {Point} at
 * @property {boolean} shift
 * @property {boolean} alt Alt or the right button
 * @property {boolean} double second press of a double click
 */
/**
 * @typedef {object} Target
 * @property {(press: Press) => void} down
 * @property {(press: Press) => void} move
 * @property {(press: Press) => void} up
 * @property {(point: Point | null) => void} hover null: the pointer has left
 * @property {() => void} abort what was begun is dropped
 * @property {() => boolean} panning true while the key for panning is held
 */

/**
 * @param {import("./stage.js").Stage} stage
 * @param {Target} target
 */
export function listen(stage, target) {
  const { element, view } = stage;
  /** @type {Map<number, {x: number, y: number}>} */
  const down = new Map();
  /** @type {"draw" | "pan" | "pinch" | null} */
  let mode = null;
  const on = (/** @type {{clientX: number, clientY: number}} */ event) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  /** @param {PointerEvent} event @returns {Press} */
  const press = (event) => {
    const { x, y } = on(event);
    return {
      at: view.toImage(x, y),
      shift: event.shiftKey,
      alt: event.altKey || event.button === 2 || (event.buttons & 2) > 0,
      double: event.type === "pointerdown" && isDouble(event),
    };
  };
  let last = { time: -1000, x: 0, y: 0 };
  /** @param {PointerEvent} event */
  const isDouble = (event) => {
    const double = event.timeStamp - last.time < 350 && Math.hypot(event.clientX - last.x, event.clientY - last.y) < 6;
    last = { time: double ? -1000 : event.timeStamp, x: event.clientX, y: event.clientY };
    return double;
  };

  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    down.set(event.pointerId, on(event));
    if (down.size > 1) {
      if (mode === "draw") target.abort();
      mode = "pinch";
    } else if (event.button === 1 || target.panning()) {
      mode = "pan";
      event.preventDefault();
    } else if (event.button === 0 || event.button === 2) {
      mode = "draw";
      target.down(press(event));
    }
  });

  element.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    const now = on(event);
    if (!before || !mode) {
      target.hover(view.toImage(now.x, now.y));
      return;
    }
    if (mode === "draw") {
      // The browser joins moves of one frame; all of them are the stroke.
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const move of moves.length ? moves : [event]) target.move(press(move));
    } else if (mode === "pan") {
      view.pan(now.x - before.x, now.y - before.y);
      stage.moved();
    } else {
      const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const [was, is] = [Math.hypot(before.x - other.x, before.y - other.y), Math.hypot(now.x - other.x, now.y - other.y)];
        view.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
        if (was > 10) view.zoomAt((now.x + other.x) / 2, (now.y + other.y) / 2, is / was);
        stage.moved();
      }
    }
    down.set(event.pointerId, now);
  });

  const release = (/** @type {PointerEvent} */ event) => {
    if (!down.delete(event.pointerId)) return;
    if (mode === "draw") {
      if (event.type === "pointercancel") target.abort();
      else target.up(press(event));
    }
    if (!down.size) mode = null;
  };
  element.addEventListener("pointerup", release);
  element.addEventListener("pointercancel", release);
  element.addEventListener("pointerleave", () => target.hover(null));
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener("auxclick", (event) => event.preventDefault());
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { x, y } = on(event);
      const lines = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
      view.zoomAt(x, y, Math.exp(Math.max(-200, Math.min(200, -event.deltaY * lines)) / 400));
      stage.moved();
    },
    { passive: false },
  );
}
