/**
 * Code that makes the shown mask: a URL and options in, commands to copy out. Called by
 * panels/result.js.
 *
 * A key is never part of the code, which reads it from the environment. Classes: .snippets; in it
 * fieldset.segments of radio buttons, pre.snippet, and .buttons with .snippet-copy and
 * .snippet-status (role status).
 */

import { queryOf } from "./api.js";
import { element } from "./elements.js";
import { optionsFor, stemOf } from "./take_away.js";

const KEY_VARIABLE = "FCNSERVE_KEY";
const WRITERS = { curl: curlSnippet, Python: pythonSnippet, JavaScript: javascriptSnippet };
let chosen = "curl"; // for the next photo too

/** A panel with the same request in three languages, for a photo of this name. */
export function snippetPanel(request) {
  const code = element("code");
  const choose = (language) => {
    chosen = language;
    code.textContent = WRITERS[language](request);
  };
  choose(chosen);
  return element("div", { class: "snippets" },
    element("fieldset", { class: "segments" },
      element("legend", { class: "unseen" }, "Language"),
      ...Object.keys(WRITERS).map((language) => choice(language, choose))),
    element("pre", { class: "snippet", tabindex: "0", role: "group", "aria-label": "Code" }, code),
    copier(code));
}

function choice(language, choose) {
  const input = element("input", {
    type: "radio", name: "snippet", value: language, onchange: () => choose(language),
  });
  input.checked = language === chosen;
  return element("label", {}, input, element("span", {}, language));
}

/** A button that copies what the code element has at that time. */
function copier(code) {
  const status = element("span", { class: "snippet-status", role: "status" });
  const button = element("button", {
    type: "button", class: "snippet-copy",
    onclick: async () => (status.textContent = (await copy(code)) ? "Copied." : "Press Ctrl-C."),
  }, "Copy");
  return element("div", { class: "buttons" }, button, status);
}

/** Copy by the clipboard's interface, which needs HTTPS or this machine, or by a selection. */
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return document.execCommand("copy");
  }
}

/** A command line for a POSIX shell. */
export function curlSnippet({ url, options, hasKey, fileName }) {
  return [
    "curl --fail-with-body --globoff",
    ...(hasKey ? [`-H "Authorization: Bearer $${KEY_VARIABLE}"`] : []),
    "-H 'Content-Type: application/octet-stream'",
    `--data-binary ${inShell(`@${pathOf(fileName)}`)}`,
    `-o ${inShell(pathOf(maskName(fileName)))}`,
    inShell(addressOf(url, options)),
  ].join(" \\\n  ");
}

/** A program for Python with the package fcnserve-client. */
export function pythonSnippet({ url, options, hasKey, fileName }) {
  const key = hasKey ? `, key=os.environ["${KEY_VARIABLE}"]` : "";
  const named = Object.entries(optionsFor("mask", options)).filter(([name]) => name !== "output");
  const parameters = named.map(([name, value]) => `, ${name}=${JSON.stringify(value)}`).join("");
  return [
    "# pip install dist/fcnserve_client-*.whl, which make wheel builds",
    ...(hasKey ? ["import os", ""] : []),
    "from fcnserve_client import Client",
    "",
    `with Client(${JSON.stringify(url)}${key}) as client:`,
    `    result = client.segment(${JSON.stringify(fileName)}${parameters})`,
    `result.to_image().save(${JSON.stringify(maskName(fileName))})`,
  ].join("\n");
}

/** A program for Node.js 18 or newer, as a module (.mjs) or for its prompt. */
export function javascriptSnippet({ url, options, hasKey, fileName }) {
  const key = hasKey ? [`    Authorization: \`Bearer \${process.env.${KEY_VARIABLE}}\`,`] : [];
  return [
    'const { readFile, writeFile } = await import("node:fs/promises");',
    "",
    `const answer = await fetch(${JSON.stringify(addressOf(url, options))}, {`,
    '  method: "POST",',
    "  headers: {",
    '    "Content-Type": "application/octet-stream",',
    ...key,
    "  },",
    `  body: await readFile(${JSON.stringify(fileName)}),`,
    "});",
    "if (!answer.ok) throw new Error(await answer.text());",
    `await writeFile(${JSON.stringify(maskName(fileName))}, Buffer.from(await answer.arrayBuffer()));`,
  ].join("\n");
}

function addressOf(url, options) {
  return `${url}v1/segment?${queryOf(optionsFor("mask", options))}`;
}

function maskName(fileName) {
  return `${stemOf(fileName)}.mask.png`;
}

/** A path that is never taken for an option. */
function pathOf(fileName) {
  return fileName.startsWith("-") ? `./${fileName}` : fileName;
}

/** Quote a word for a POSIX shell, where it needs that. */
function inShell(word) {
  return /^[\w@./:=,+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
