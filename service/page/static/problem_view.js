/**
 * A problem as an element: what went wrong, what to do, and the request's ID. Called by
 * panels/progress.js and take_away.js.
 *
 * Classes: .problem; in it .problem-title, .problem-detail, .problem-advice, .problem-request.
 */

import { element } from "./elements.js";

/** Show a Problem, or any Error as its message alone. */
export function problemView({ title, detail, advice, requestId, message }) {
  const sentence = detail ? detail[0].toUpperCase() + detail.slice(1) : "";
  return element("div", { class: "problem" },
    element("p", { class: "problem-title" }, element("strong", {}, title ?? message)),
    ...(sentence ? [element("p", { class: "problem-detail" }, sentence)] : []),
    ...(advice ? [element("p", { class: "problem-advice" }, advice)] : []),
    ...(requestId ? [request(requestId)] : []));
}

function request(requestId) {
  return element("p", { class: "problem-request" }, "Request ", element("code", {}, requestId));
}
