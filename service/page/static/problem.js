/**
 * What went wrong with a request: a problem document (RFC 9457) of the service in, or an answer that
 * is none, an Error with advice out. Made by api.js.
 */

const SMALLER = "Make the photo smaller, and send that one.";
const ANOTHER_FILE = "If it is a photo, save it anew as a JPEG or PNG with an image program.";
const LATER = "Wait a moment, then try again.";
const ADVICE = {
  unauthorized: "Enter an API key of this service, then try again.",
  rate_limited: LATER,
  busy: LATER,
  not_ready: LATER,
  draining: LATER,
  too_many_connections: LATER,
  deadline_exceeded: "Try again, or choose a smaller longest side.",
  too_costly: "Choose a smaller longest side, or make the photo smaller.",
  too_many_pixels: SMALLER,
  side_too_long: SMALLER,
  out_of_memory: SMALLER,
  body_too_large: SMALLER,
  empty_body: "Choose a file that is not empty.",
  broken_image: ANOTHER_FILE,
  unsupported_media_type: ANOTHER_FILE,
  image_crashes_worker: ANOTHER_FILE,
  image_takes_too_long: ANOTHER_FILE,
  invalid_option: "Choose another model or longest side.",
  model_not_found: "Choose another model.",
  unreachable: "See whether the service runs and this device is online, then try again.",
};
const OTHERWISE = "Try again. If it fails again, give the operator of the service the request ID.";

/** An error of a request; `status` is 0 where there was no answer. */
export class Problem extends Error {
  constructor({ status, code, title, detail, requestId = "", retryAfterSeconds = null }) {
    super(`${title}: ${detail}`);
    const advice = ADVICE[code] ?? OTHERWISE;
    Object.assign(this, { status, code, title, detail, advice, requestId, retryAfterSeconds });
  }
}

/** The service, or the network on the way, gave no answer. */
export function unreachable() {
  const detail = "the connection ended before there was an answer";
  return new Problem({ status: 0, code: "unreachable", title: "No answer from the service", detail });
}

/** A key with characters that no header can have is not sent. */
export function impossibleKey() {
  const detail = "the API key has spaces or letters that no key has";
  return new Problem({ status: 401, code: "unauthorized", title: "Unauthorized", detail });
}

/** The problem that an answer states; one of its status where another server, a proxy, wrote it. */
export function problemOf({ status, text, requestId, retryAfter }) {
  const { code = `http_${status}`, title = `Status ${status}`, detail } = documentOf(text);
  return new Problem({
    status, code, title, requestId,
    detail: detail ?? `the service, or a proxy before it, answered ${status} without a reason`,
    retryAfterSeconds: secondsOf(retryAfter),
  });
}

function documentOf(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

/** The seconds of a `Retry-After` of either form (RFC 9110, 10.2.3); null where there is none. */
function secondsOf(retryAfter) {
  if (!retryAfter) return null;
  if (/^\d+$/.test(retryAfter)) return Number(retryAfter);
  const seconds = (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(seconds, 0);
}
