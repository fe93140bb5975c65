/**
 * The state of the selected photo on the page: waiting, sending, done or failed in, what is visible
 * and announced out. Called by main.js.
 */

import { byId, percent } from "../elements.js";
import { problemView } from "../problem_view.js";

/** Show how far a photo is; null: there is none. */
export function showState(photo) {
  byId("welcome").hidden = photo !== null;
  byId("work").hidden = photo === null;
  const isBusy = photo?.state === "waiting" || photo?.state === "sending";
  byId("busy").hidden = !isBusy;
  byId("panels").toggleAttribute("data-busy", isBusy);
  showProblem(photo?.problem ?? null);
  if (isBusy) say(`${photo.name}: being segmented`);
}

/** Show a problem (null: none), and what the visitor can do about it. */
export function showProblem(problem) {
  byId("problem").hidden = problem === null;
  if (problem === null) return;
  byId("work").hidden = false;
  byId("welcome").hidden = true;
  byId("problem-text").replaceChildren(problemView(problem));
  byId("problem-key").hidden = problem.status !== 401;
  say(`${problem.title ?? problem.message}. ${problem.detail ?? ""}`);
}

/** Tell screen readers what the photo has. */
export function announceResult(name, histogram, card) {
  const parts = card.classes
    .map((text, id) => ({ text, id, share: histogram.of(id).share }))
    .filter(({ id, share }) => share > 0 && id !== card.background_id)
    .sort((a, b) => b.share - a.share)
    .map(({ text, share }) => `${text} ${percent(share)}`);
  say(`${name}: ${parts.join(", ") || "nothing but background"}`);
}

function say(text) {
  if (byId("status").textContent !== text) byId("status").textContent = text;
}
