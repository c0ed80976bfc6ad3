// Requests to the studio's own server: JSON both ways, revisions as ETags, problems as errors.

/** An answer that is not a success: what the server said, in its words. */
export class Problem extends Error {
  /** @param {number} status 0 if there was no answer @param {Record<string, unknown>} body */
  constructor(status, body) {
    super(String(body.detail ?? body.title ?? `The server answered ${status}.`));
    this.status = status;
    this.reason = String(body.reason ?? body.code ?? "");
    this.body = body;
  }

  /** True if trying the same again later may help. */
  get passing() {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500;
  }
}

/**
 * @typedef {object} Answer
 * @property {any} body
 * @property {string | null} etag
 */

/**
 * Send a request under /api/1/.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body] sent as JSON, compressed where it is long
 * @param {{etag?: string | null, signal?: AbortSignal}} [options] etag: the revision that is edited
 * @returns {Promise<Answer>}
 * @throws {Problem}
 */
export async function request(method, path, body, { etag = null, signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  /** @type {BodyInit | undefined} */
  let content;
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    content = JSON.stringify(body);
    if (content.length > 4096) {
      headers["Content-Encoding"] = "gzip";
      content = await new Response(new Blob([content]).stream().pipeThrough(new CompressionStream("gzip"))).blob();
    }
  }
  if (etag !== null) headers["If-Match"] = etag;
  let response;
  try {
    response = await fetch(`/api/1/${path}`, { method, headers, body: content, signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, { detail: "The studio does not answer. Is it still running in the terminal?" });
  }
  const text = await response.text();
  let parsed = null;
  try {
    parsed = text ? JSON.parse(text) : null;
  } catch {
    throw new Problem(response.status, { detail: `The answer to ${method} ${path} is not JSON.` });
  }
  if (!response.ok) throw new Problem(response.status, parsed ?? {});
  return { body: parsed, etag: response.headers.get("ETag") };
}

/** @param {string} path @returns {Promise<any>} */
export const get = async (path) => (await request("GET", path)).body;

/** @param {string} path @param {unknown} [body] @returns {Promise<any>} */
export const post = async (path, body = {}) => (await request("POST", path, body)).body;

/** What to tell a person about an error. @param {unknown} error */
export const inWords = (error) => (error instanceof Error ? error.message : String(error));
