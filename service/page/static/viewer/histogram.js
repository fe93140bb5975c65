/**
 * Pixels of a label map by class and confidence, counted once: each threshold's shares then cost no
 * look at the pixels. Called by main.js, read by legend.js.
 */

const CONFIDENCES = 256;

export class Histogram {
  #counts = new Uint32Array(256 * CONFIDENCES); // by label * 256 + confidence
  pixels;

  constructor({ labels, confidence }) {
    this.pixels = labels.length;
    for (let i = 0; i < labels.length; i++) this.#counts[(labels[i] << 8) | confidence[i]]++;
  }

  /** {pixels, share of the photo, mean confidence} of a label, from a confidence (0 to 255) on. */
  of(label, threshold = 0) {
    const counts = this.#counts.subarray(label * CONFIDENCES, (label + 1) * CONFIDENCES);
    let pixels = 0;
    let sum = 0;
    for (let confidence = threshold; confidence < CONFIDENCES; confidence++) {
      pixels += counts[confidence];
      sum += counts[confidence] * confidence;
    }
    return { pixels, share: pixels / this.pixels, confidence: pixels ? sum / pixels / 255 : 0 };
  }
}
