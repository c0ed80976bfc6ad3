// The time that a person works on an image: while the page is seen and something happens now and then.

const IDLE = 20000; // milliseconds without a sign of the person

export class WorkClock {
  /** @param {number} seconds counted earlier */
  constructor(seconds) {
    this.before = seconds * 1000;
    this.counted = 0;
    this.last = performance.now();
    this.active = this.last;
    for (const event of ["pointermove", "pointerdown", "keydown", "wheel"]) {
      window.addEventListener(event, () => this.sign(), { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => this.tick());
  }

  sign() {
    this.tick();
    this.active = performance.now();
  }

  tick() {
    const now = performance.now();
    const until = Math.min(now, this.active + IDLE);
    if (!document.hidden && until > this.last) this.counted += until - this.last;
    this.last = now;
  }

  get seconds() {
    this.tick();
    return Math.round((this.before + this.counted) / 100) / 10;
  }
}
