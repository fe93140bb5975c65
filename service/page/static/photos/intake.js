/**
 * Photos from the visitor: dropped, pasted, chosen, taken with a camera, or a sample; a function
 * that takes a list of File out. Called by main.js.
 */

/** Listen everywhere on the page; `take` is called with at least one file. */
export function listenForPhotos(take) {
  const some = (files) => files.length && take([...files]);
  for (const input of document.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      some(input.files);
      input.value = ""; // so that the same file may be chosen again
    });
  }
  for (const button of document.querySelectorAll("button[data-sample]")) {
    button.addEventListener("click", async () => some([await sample(button.dataset.sample)]));
  }
  document.addEventListener("paste", (event) => some(event.clipboardData?.files ?? []));
  listenForDrops(some);
}

/** The whole page is where files are dropped; `data-dropping` on its root tells the style sheet. */
function listenForDrops(some) {
  const root = document.documentElement;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const set = (isDropping) => root.toggleAttribute("data-dropping", isDropping);
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    set(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && set(false));
  document.addEventListener("drop", (event) => {
    set(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    some(event.dataTransfer.files);
  });
}

async function sample(name) {
  const answer = await fetch(`page/samples/${name}`);
  return new File([await answer.blob()], name, { type: "image/jpeg" });
}
