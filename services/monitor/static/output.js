// A task's output as it is written: text only; its colours as classes; the newest of it is kept.
const MOST_BLOCKS = 4000;
const MOST_CHARACTERS = 1024 * 1024;
const CONTROL = /\u001b\[([0-9;]*)([A-Za-z])/g;
// How a terminal's colours go on, by chunk and stream.
const styles = new Map();

function restyle(codes, style) {
  for (const code of (codes || "0").split(";").map(Number)) {
    if (code === 0) style.clear();
    else if (code === 1) style.add("bold");
    else if (code === 22) style.delete("bold");
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97) || code === 39) {
      for (const name of [...style]) if (name.startsWith("ansi-")) style.delete(name);
      if (code !== 39) style.add(`ansi-${code % 10}`);
    }
  }
}

function span(text, classes) {
  const element = document.createElement("span");
  element.className = [...classes].join(" ");
  element.textContent = text;
  return element;
}

// The text as spans, its control sequences taken out.
export function coloured(text, stream, writer) {
  if (!styles.has(writer)) styles.set(writer, new Set());
  const style = styles.get(writer);
  const found = document.createDocumentFragment();
  let place = 0;
  for (const match of text.matchAll(CONTROL)) {
    if (match.index > place) found.append(span(text.slice(place, match.index), [stream, ...style]));
    if (match[2] === "m") restyle(match[1], style);
    place = match.index + match[0].length;
  }
  if (place < text.length) found.append(span(text.slice(place), [stream, ...style]));
  return found;
}

let lastChunk = null;
let characters = 0;

function append(log, shown) {
  characters += shown.textContent.length;
  log.append(shown);
}

export function appendOutput({ again, gap, blocks }) {
  const log = document.getElementById("log");
  if (again) {
    log.replaceChildren();
    styles.clear();
    lastChunk = null;
    characters = 0;
  }
  document.getElementById("log-box").hidden = false;
  document.querySelector(".waiting-output")?.remove();
  if (gap) append(log, span("… earlier output is left out …\n", ["from"]));
  const many = document.getElementById("cells") !== null;
  for (const [chunk, attempt, stream, text, missed] of blocks) {
    if (missed) append(log, span(`… ${missed.toLocaleString()} bytes were written before this page listened; they are in the result …\n`, ["from"]));
    const writer = `${chunk}/${attempt}`;
    const isOnNewLine = !log.lastChild || log.lastChild.textContent.endsWith("\n");
    if (many && writer !== lastChunk) append(log, span(`${isOnNewLine ? "" : "\n"}chunk ${chunk} `, ["from"]));
    lastChunk = writer;
    append(log, coloured(text, stream, `${writer}/${stream}`));
  }
  while (log.childElementCount > MOST_BLOCKS || (characters > MOST_CHARACTERS && log.childElementCount > 1)) {
    characters -= log.firstChild.textContent.length;
    log.firstChild.remove();
  }
  if (document.getElementById("follow").checked) log.scrollTop = log.scrollHeight;
}
