// Names that nobody else has.

/** 16 hexadecimal digits from the browser's generator; unlike randomUUID it is there on every host. */
export function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
