// Numbers, times and sizes in words.

/** "1 image", "3 images". @param {number} count @param {string} noun @param {string} [nouns] */
export function counted(count, noun, nouns = `${noun}s`) {
  return `${count.toLocaleString("en-US")} ${count === 1 ? noun : nouns}`;
}

/** Seconds as "41 s", "2:05 min", "1:05 h". @param {number} seconds */
export function duration(seconds) {
  const whole = Math.round(seconds);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}:${two(whole % 60)} min`;
  return `${Math.floor(whole / 3600)}:${two(Math.floor((whole % 3600) / 60))} h`;
}

/** "12.3 MB". @param {number} count */
export function bytes(count) {
  if (count < 1000) return `${count} bytes`;
  const power = Math.min(3, Math.floor(Math.log10(count) / 3));
  return `${(count / 1000 ** power).toFixed(1)} ${["", "kB", "MB", "GB"][power]}`;
}

/** A share as "42 %", "0.4 %" or "< 0.1 %". @param {number} share 0..1 */
export function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  return `${value < 10 && value % 1 ? value.toFixed(1) : Math.round(value)} %`;
}

/** A score with three digits. @param {number} value */
export const score = (value) => value.toFixed(3);

/** The time of day, "12:03". @param {Date} date */
export function clock(date) {
  return date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}

/** A snake_case name in words. @param {string} name */
export const words = (name) => name.replaceAll("_", " ").replace(/\biou\b/, "IoU");
