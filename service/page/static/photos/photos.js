/**
 * The visitor's photos and what the service answered: files in, answers and problems out, a few
 * requests at a time. Called by main.js and strip.js, which hear of "change" (a photo changed),
 * "select" and "remove".
 *
 * A photo is {id, name, blob, state, progress, answer, problem, settings}: "waiting", "sending",
 * "done" or "failed"; 0 to 1 of its bytes sent; what Api.segment returned; the Problem; the settings
 * that its answer was made with.
 */

const PARALLEL = 2; // the service may compute them in one batch

export class Photos extends EventTarget {
  list = [];
  selected = null;
  #segment; // (photo, {signal, onProgress}) -> answer
  #settings; // () -> a string that is another one where the answer would be another one
  #nextId = 1;

  constructor(segment, settings) {
    super();
    this.#segment = segment;
    this.#settings = settings;
  }

  add(files) {
    const added = files.map((blob) => ({
      id: this.#nextId++, name: blob.name || "photo", blob, ...untried(),
    }));
    this.list.push(...added);
    added.forEach((photo) => this.#tell("change", photo));
    this.select(added[0]);
    this.#sendMore();
  }

  select(photo) {
    this.selected = photo;
    this.#tell("select", photo);
    if (photo && photo.state === "done" && photo.settings !== this.#settings()) this.retry(photo);
  }

  remove(photo) {
    photo.cancel?.abort();
    const at = this.list.indexOf(photo);
    this.list.splice(at, 1);
    this.#tell("remove", photo);
    if (photo === this.selected) this.select(this.list[Math.min(at, this.list.length - 1)] ?? null);
    this.#sendMore();
  }

  /** Send a photo (again). Its old answer stays until the new one is there. */
  retry(photo) {
    photo.cancel?.abort();
    Object.assign(photo, { ...untried(), answer: photo.answer });
    this.#tell("change", photo);
    this.#sendMore();
  }

  retryFailed() {
    this.list.filter(({ state }) => state === "failed").forEach((photo) => this.retry(photo));
  }

  #sendMore() {
    const count = (state) => this.list.filter((photo) => photo.state === state).length;
    while (count("sending") < PARALLEL && count("waiting") > 0) {
      const waiting = this.list.filter(({ state }) => state === "waiting");
      this.#send(waiting.includes(this.selected) ? this.selected : waiting[0]);
    }
  }

  async #send(photo) {
    const cancel = new AbortController();
    const settings = this.#settings();
    const set = (fields) => {
      if (photo.cancel !== cancel) return; // sent again or removed meanwhile
      Object.assign(photo, fields);
      this.#tell("change", photo);
    };
    photo.cancel = cancel;
    set({ state: "sending" });
    const onProgress = (progress) => set({ progress });
    try {
      const answer = await this.#segment(photo, { signal: cancel.signal, onProgress });
      set({ state: "done", answer, problem: null, settings });
    } catch (problem) {
      set({ state: "failed", answer: null, problem });
    }
    this.#sendMore();
  }

  #tell(type, photo) {
    this.dispatchEvent(new CustomEvent(type, { detail: photo }));
  }
}

function untried() {
  return { state: "waiting", progress: 0, answer: null, problem: null, settings: "", cancel: null };
}
