/**
 * The wiring of the page, which index.html starts: photos go to the service once each, and what it
 * answers is shown in as many ways as the visitor likes, without a further request.
 */

import { Api } from "./api.js";
import { byId } from "./elements.js";
import { listenForPhotos } from "./photos/intake.js";
import { Legend } from "./panels/legend.js";
import { LookControls } from "./panels/look_controls.js";
import { Photos } from "./photos/photos.js";
import { Reading } from "./viewer/reading.js";
import { showDetails, showTakeAway } from "./panels/result.js";
import { Settings } from "./panels/settings.js";
import { announceResult, showProblem, showState } from "./panels/progress.js";
import { Strip } from "./photos/strip.js";
import { Viewer } from "./viewer/viewer.js";

const settings = new Settings();
const api = new Api(new URL("./", location.href).href, () => settings.key);
const viewer = new Viewer(byId("stage"), byId("canvas"), byId("divider"));
const controls = new LookControls(viewer);
const legend = new Legend(byId("legend"));
const photos = new Photos(segment, () => JSON.stringify(settings.options));
const reading = new Reading();
let shown = null; // what Reading gave, with the model's card
new Strip(byId("strip"), photos);

listenForPhotos((files) => photos.add(files));
photos.addEventListener("select", () => show());
photos.addEventListener("change", ({ detail: photo }) => photo === photos.selected && show());
legend.addEventListener("emphasise", ({ detail: emphasised }) => controls.set({ emphasised }));
legend.addEventListener("hide", ({ detail: hidden }) => {
  controls.set({ hidden });
  offerTakeAway();
});
controls.addEventListener("change", () => {
  if (shown?.labelMap) legend.update(shown.histogram, controls.look.threshold);
});
controls.addEventListener("settle", offerTakeAway);
settings.addEventListener("change", () => photos.select(photos.selected));
settings.addEventListener("key", () => {
  photos.retryFailed();
  if (!photos.selected) openModels();
});
byId("show-all").addEventListener("click", () => legend.showAll());
byId("retry").addEventListener("click", () => {
  if (photos.selected) photos.retry(photos.selected);
  else openModels();
});
openModels();

/** Get ready for the first photo; what is wrong shows before it is sent. */
function openModels() {
  showState(null);
  loadModels().catch((problem) => photos.selected || showProblem(problem));
}

/** Ask for the model cards once; photos wait for them. */
async function loadModels() {
  if (!settings.cards.length) settings.offer(await api.models({}));
}

async function segment(photo, { signal, onProgress }) {
  await loadModels();
  const options = { output: "confidence", ...settings.options };
  return api.segment(photo.blob, options, { signal, onProgress });
}

/** Bring the page to the state of the selected photo. */
async function show() {
  const photo = photos.selected;
  showState(photo);
  const read = photo ? await reading.of(photo) : null;
  if (photo !== photos.selected || (photo && photo.answer !== read.answer)) return; // superseded
  if (shown && read?.image === shown.image && read?.labelMap === shown.labelMap) return;
  const before = shown;
  shown = read && { ...read, card: cardOf(read.answer) };
  showRead();
  if (before?.image !== shown?.image) before?.image?.close();
}

function showRead() {
  byId("panels").hidden = !shown?.labelMap;
  viewer.show(shown?.image || shown?.labelMap ? shown : null);
  if (!shown?.labelMap) return;
  const { photo, labelMap, histogram, card } = shown;
  controls.setCard(card);
  legend.show(histogram, card, controls.look);
  showDetails(photo, labelMap);
  offerTakeAway();
  announceResult(photo.name, histogram, card);
}

function cardOf(answer) {
  return settings.cards.find((card) => card.name === answer?.model) ?? settings.card;
}

/** Offer what is shown as files and as code. */
function offerTakeAway() {
  if (!shown?.labelMap) return;
  const { photo, histogram, card } = shown;
  const { hidden, opacity } = controls.look;
  const options = { ...settings.options, alpha: opacity, ...shownClasses(histogram, card, hidden) };
  showTakeAway({ api, photo, options, hasKey: settings.key !== "" });
}

/** The option `classes`, where what is shown differs from what the service shows without it. */
function shownClasses(histogram, { classes, background_id: background }, hidden) {
  const present = classes.map((name, id) => ({ name, id })).filter(({ id }) => histogram.of(id).pixels);
  const isUsual = present.every(({ id }) => hidden.has(id) === (id === background));
  const names = present.filter(({ id }) => !hidden.has(id)).map(({ name }) => name);
  return isUsual || !names.length ? {} : { classes: names };
}
