// Undo and redo for the whole session, bounded by the bytes of what is kept, not by a number of steps.

export const LIMIT = 64 * 2 ** 20;

/**
 * @template {{bytes: number}} Step
 */
export class History {
  /** @param {number} [limit] bytes that the steps may take together */
  constructor(limit = LIMIT) {
    this.limit = limit;
    /** @type {Step[]} */
    this.done = [];
    /** @type {Step[]} */
    this.undone = [];
    this.bytes = 0;
    this.dropped = 0;
  }

  /** Add a step; what was undone is gone. @param {Step} step */
  push(step) {
    for (const gone of this.undone) this.bytes -= gone.bytes;
    this.undone = [];
    this.done.push(step);
    this.bytes += step.bytes;
    // The last step is kept whatever its size: it can always be undone.
    while (this.bytes > this.limit && this.done.length > 1) {
      this.bytes -= /** @type {Step} */ (this.done.shift()).bytes;
      this.dropped += 1;
    }
  }

  /** The step to take back, or null. @returns {Step | null} */
  undo() {
    const step = this.done.pop();
    if (!step) return null;
    this.undone.push(step);
    return step;
  }

  /** The step to do again, or null. @returns {Step | null} */
  redo() {
    const step = this.undone.pop();
    if (!step) return null;
    this.done.push(step);
    return step;
  }
}
