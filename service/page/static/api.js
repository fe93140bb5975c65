/**
 * The service's HTTP API: photos and options in, answers out. Called by main.js and take_away.js.
 *
 * By XMLHttpRequest, which reports how much of a photo has been sent; fetch does not.
 */

import { impossibleKey, Problem, problemOf, unreachable } from "./problem.js";

const RETRIED = [429, 503];
const BUDGET_SECONDS = 60; // for all waits of a request together
const LEAST_WAIT_SECONDS = 0.5;

export class Api {
  #baseUrl;
  #key;

  /** `baseUrl` ends in a slash; `key` is a function that gives the API key, "" for none. */
  constructor(baseUrl, key = () => "") {
    this.#baseUrl = baseUrl;
    this.#key = key;
  }

  /** The model cards; the first is the default model's. Throws Problem. */
  async models({ signal } = {}) {
    const { body } = await this.#request({ method: "GET", path: "v1/models", signal });
    return JSON.parse(new TextDecoder().decode(body));
  }

  /**
   * Send a photo with the options of `POST /v1/segment`; lists may hold several values. `onProgress`
   * gets the share of its bytes that are sent, 0 to 1. Returns {body: ArrayBuffer, type, model,
   * digest, requestId, timing: [{name, milliseconds}]}; throws Problem, or the signal's reason.
   */
  async segment(blob, options = {}, { signal, onProgress = () => {} } = {}) {
    const path = `v1/segment?${queryOf(options)}`;
    return answerOf(await this.#request({ method: "POST", path, blob, signal, onProgress }));
  }

  /** Send a request, again as often as the service asks for it within the budget. */
  async #request(request) {
    for (let left = BUDGET_SECONDS; ; ) {
      try {
        return await exchange({ ...request, url: this.#baseUrl + request.path, key: this.#key() });
      } catch (error) {
        const wait = waitOf(error);
        left -= wait;
        if (!(left > 0)) throw error;
        await sleep(wait, request.signal);
      }
    }
  }
}

/** The query string of options; those without a value are left out. */
export function queryOf(options) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options)) {
    for (const each of [value].flat()) if (each !== null && each !== undefined) query.append(name, each);
  }
  return query;
}

/** One request and its answer's bytes and headers. */
function exchange({ method, url, key, blob = null, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    if (/[^!-~]/.test(key)) throw impossibleKey();
    const xhr = new XMLHttpRequest();
    const abort = () => xhr.abort();
    xhr.open(method, url);
    xhr.responseType = "arraybuffer";
    if (blob) xhr.setRequestHeader("Content-Type", "application/octet-stream");
    if (key) xhr.setRequestHeader("Authorization", `Bearer ${key}`);
    if (onProgress) {
      xhr.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 1);
    }
    xhr.onload = () => (xhr.status === 200 ? resolve(xhr) : reject(problemIn(xhr)));
    xhr.onerror = () => reject(unreachable());
    xhr.onabort = () => reject(signal.reason);
    xhr.onloadend = () => signal?.removeEventListener("abort", abort);
    signal?.addEventListener("abort", abort);
    xhr.send(blob);
  }).then((xhr) => ({ body: xhr.response, header: (name) => xhr.getResponseHeader(name) ?? "" }));
}

function problemIn(xhr) {
  return problemOf({
    status: xhr.status,
    text: new TextDecoder().decode(xhr.response ?? new ArrayBuffer()),
    requestId: xhr.getResponseHeader("X-Request-ID") ?? "",
    retryAfter: xhr.getResponseHeader("Retry-After"),
  });
}

/** Seconds until a request is repeated; infinite where that would not help. */
function waitOf(error) {
  if (!(error instanceof Problem && RETRIED.includes(error.status))) return Infinity;
  const least = Math.max(error.retryAfterSeconds ?? 1, LEAST_WAIT_SECONDS);
  return least * (1 + Math.random() / 4); // so that waiting photos do not come all at once
}

function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000 * seconds);
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    signal?.addEventListener("abort", stop, { once: true });
  });
}

function answerOf({ body, header }) {
  const [model, digest = ""] = header("X-Model").split("@");
  return {
    body, model, digest,
    type: header("Content-Type"),
    requestId: header("X-Request-ID"),
    timing: timingOf(header("Server-Timing")),
  };
}

/** The entries of a `Server-Timing` header, as [{name, milliseconds}]. */
export function timingOf(text) {
  return [...text.matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, name, milliseconds]) => ({
    name, milliseconds: Number(milliseconds),
  }));
}
