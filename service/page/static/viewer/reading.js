/**
 * What the stage needs of the selected photo: its file and answer in, pixels and counts out, each
 * read once. Called by main.js.
 */

import { Histogram } from "./histogram.js";
import { labelMapOf } from "../label_map.js";
import { decodePng } from "../png.js";
import { PhotoImage } from "./photo_image.js";

export class Reading {
  #photo = null;
  #answer = null;
  #image = null; // promises
  #mask = null;

  /** {photo, answer, image, labelMap, histogram}; the last two undefined before an answer. */
  async of(photo) {
    const { answer } = photo;
    if (photo !== this.#photo) this.#image = PhotoImage.read(photo.blob);
    if (photo !== this.#photo || answer !== this.#answer) this.#mask = answer && readMask(answer);
    [this.#photo, this.#answer] = [photo, answer];
    const [image, mask] = await Promise.all([this.#image, this.#mask]);
    return { photo, answer, image, ...mask };
  }
}

async function readMask(answer) {
  const labelMap = labelMapOf(await decodePng(answer.body));
  return { labelMap, histogram: new Histogram(labelMap) };
}
