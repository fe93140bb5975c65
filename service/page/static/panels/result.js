/**
 * The panels of a result: an answer and the request's options in, details, downloads and code out.
 * Called by main.js.
 */

import { byId, element } from "../elements.js";
import { snippetPanel } from "../snippets.js";
import { takeAway } from "../take_away.js";
import { timingBar } from "../timing.js";

/** Stage times, model, digest and request ID of an answer, and the photo's size. */
export function showDetails({ answer, name, blob }, labelMap) {
  const rows = {
    Photo: `${name}, ${labelMap.width} \u00d7 ${labelMap.height} px, ${kilobytes(blob.size)}`,
    Model: answer.model,
    Request: answer.requestId,
    Digest: answer.digest,
  };
  const terms = Object.entries(rows).filter(([, text]) => text).flatMap(([term, text]) => [
    element("dt", {}, term), element("dd", { title: text }, text),
  ]);
  byId("details").replaceChildren(timingBar(answer.timing), element("dl", {}, ...terms));
}

/** Downloads of the result, and code that asks for it. */
export function showTakeAway({ api, photo, options, hasKey }) {
  const file = new File([photo.blob], photo.name, { type: photo.blob.type });
  byId("take-away").replaceChildren(takeAway({ api, photo: file, options }));
  const url = new URL("./", location.href).href;
  const snippets = snippetPanel({ url, options, hasKey, fileName: photo.name });
  byId("snippets").replaceChildren(snippets);
}

function kilobytes(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
