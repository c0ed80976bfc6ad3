// Runs of a tile: pairs (value, length), each an unsigned LEB128 varint, in row order; in JSON as base64.

/**
 * Encode pixel values as runs. The inverse of `decodeRuns`.
 * @param {ArrayLike<number>} values values 0..65535 in row order
 * @returns {Uint8Array}
 */
export function encodeRuns(values) {
  let out = new Uint8Array(64);
  let at = 0;
  const length = values.length;
  for (let start = 0; start < length; ) {
    const value = values[start];
    let end = start + 1;
    while (end < length && values[end] === value) end += 1;
    if (at + 10 > out.length) out = grown(out);
    at = writeVarint(out, at, value);
    at = writeVarint(out, at, end - start);
    start = end;
  }
  return out.slice(0, at);
}

/**
 * Decode runs that must fill `length` pixels exactly.
 * @param {Uint8Array} runs
 * @param {number} length number of pixels
 * @returns {Uint16Array}
 * @throws {RangeError} if the runs end early, are too long, empty, or hold a value above 65535
 */
export function decodeRuns(runs, length) {
  const values = new Uint16Array(length);
  let at = 0;
  let filled = 0;
  /** @returns {number} */
  const next = () => {
    let number = 0;
    for (let factor = 1; ; factor *= 128) {
      if (at >= runs.length) throw new RangeError(`runs end within a number at byte ${at}`);
      if (factor > 128 ** 4) throw new RangeError(`a number of more than 5 bytes at byte ${at}`);
      const byte = runs[at];
      at += 1;
      number += (byte & 127) * factor;
      if (byte < 128) return number;
    }
  };
  while (at < runs.length) {
    const value = next();
    const count = next();
    if (value > 65535) throw new RangeError(`value ${value}; values are 0 to 65535`);
    if (count < 1 || filled + count > length) {
      throw new RangeError(`a run of ${count} at pixel ${filled} of a tile of ${length}`);
    }
    values.fill(value, filled, filled + count);
    filled += count;
  }
  if (filled !== length) throw new RangeError(`runs fill ${filled} of ${length} pixels`);
  return values;
}

/**
 * The value of all pixels if runs hold one value only, else null.
 * @param {Uint8Array} runs
 * @param {number} length
 * @returns {number | null}
 */
export function constantOf(runs, length) {
  if (runs.length > 10) return null; // two numbers of at most five bytes
  const values = decodeRuns(runs, length);
  return values.every((value) => value === values[0]) ? values[0] : null;
}

/**
 * @param {Uint8Array} bytes
 * @returns {string}
 */
export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

/**
 * @param {string} text
 * @returns {Uint8Array}
 */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/**
 * @param {Uint8Array} a
 * @param {Uint8Array} b
 */
export function sameBytes(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/**
 * @param {Uint8Array} out
 * @param {number} at
 * @param {number} number
 */
function writeVarint(out, at, number) {
  while (number > 127) {
    out[at] = (number & 127) | 128;
    at += 1;
    number >>>= 7;
  }
  out[at] = number;
  return at + 1;
}

/** @param {Uint8Array} bytes */
function grown(bytes) {
  const larger = new Uint8Array(2 * bytes.length);
  larger.set(bytes);
  return larger;
}
