/**
 * The strip of thumbnails: photos and their states in, buttons to select, retry and remove out.
 * Called by main.js.
 */

import { element } from "../elements.js";

const HEIGHT = 128; // pixels of a thumbnail, twice its height on the page

export class Strip {
  #items = new Map(); // by photo
  #list;
  #photos;

  constructor(list, photos) {
    this.#list = list;
    this.#photos = photos;
    photos.addEventListener("change", ({ detail: photo }) => this.#update(photo));
    photos.addEventListener("select", ({ detail: photo }) => this.#mark(photo));
    photos.addEventListener("remove", ({ detail: photo }) => {
      this.#items.get(photo).item.remove();
      this.#items.delete(photo);
    });
  }

  #update(photo) {
    if (!this.#items.has(photo)) this.#append(photo);
    const { item, button, bar, retry } = this.#items.get(photo);
    item.dataset.state = photo.state;
    bar.style.width = `${100 * (photo.state === "sending" ? photo.progress : 0)}%`;
    item.toggleAttribute("data-computing", photo.state === "sending" && photo.progress >= 1);
    retry.hidden = photo.state !== "failed";
    button.setAttribute("aria-label", `${photo.name}, ${inWords(photo)}`);
  }

  #append(photo) {
    const button = element("button", {
      type: "button", class: "thumb", title: photo.name,
      onclick: () => this.#photos.select(photo),
      onkeydown: (event) => event.key === "Delete" && this.#photos.remove(photo),
    });
    const bar = element("span", { class: "thumb-progress" });
    const retry = element("button", {
      type: "button", class: "thumb-retry", "aria-label": `Retry ${photo.name}`,
      onclick: () => this.#photos.retry(photo),
    }, "Retry");
    const remove = element("button", {
      type: "button", class: "thumb-remove", "aria-label": `Remove ${photo.name}`,
      onclick: () => this.#photos.remove(photo),
    }, "\u00d7");
    const item = element("li", {}, button, bar, retry, remove);
    this.#items.set(photo, { item, button, bar, retry });
    this.#list.append(item);
    drawThumbnail(photo.blob, button);
  }

  #mark(selected) {
    for (const [photo, { item, button }] of this.#items) {
      button.setAttribute("aria-pressed", String(photo === selected));
      if (photo === selected) item.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }
}

function inWords({ state, problem }) {
  return state === "failed" ? `failed: ${problem.title ?? problem.message}` : state;
}

/** A small copy, so that many large photos take little memory; none where it cannot be decoded. */
async function drawThumbnail(blob, button) {
  try {
    const bitmap = await createImageBitmap(blob, { resizeHeight: HEIGHT, resizeQuality: "medium" });
    const canvas = element("canvas", { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    bitmap.close();
    button.replaceChildren(canvas);
  } catch {
    button.replaceChildren("?");
  }
}
