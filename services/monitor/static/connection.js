// Whether the page is kept current, as the header says. A stream that ends is taken up again by htmx; one that fell
// silent, or never began, is begun anew here: nobody else would notice.
const WORDS = { connected: "live", lost: "connecting again", gone: "not connected" };
// The server says something every 15 s at least; how long it may be silent in a state.
const PATIENCE_MS = { connecting: 40_000, connected: 40_000, gone: 5_000 };
const STREAMS = "[hx-sse\\:connect]";
let heardAt = Date.now();

function show(state) {
  const shown = document.getElementById("live-state");
  if (shown.dataset.state === state) return;
  shown.dataset.state = state;
  shown.textContent = WORDS[state];
}

function hear() {
  heardAt = Date.now();
}

// Of other requests an error says nothing about the stream.
function fail(event) {
  if (!event.target.matches?.(STREAMS)) return;
  hear();
  show("gone");
}

function beginAnew() {
  hear();
  show("gone");
  for (const stream of document.querySelectorAll(STREAMS)) {
    const again = stream.cloneNode();
    stream._htmx?.sse?.abortController.abort();
    stream.replaceWith(again);
    htmx.process(again);
  }
}

export function watchConnection() {
  // A page that refuses has nothing to keep current.
  document.getElementById("live-state").hidden = !document.querySelector(STREAMS);
  document.addEventListener("htmx:sse:after:connection", () => { hear(); show("connected"); });
  document.addEventListener("htmx:sse:after:message", hear);
  document.addEventListener("htmx:sse:error", () => show("lost"));
  document.addEventListener("htmx:error", fail);
  document.addEventListener("htmx:response:error", fail);
  document.addEventListener("visibilitychange", hear);
  setInterval(() => {
    const patience = PATIENCE_MS[document.getElementById("live-state").dataset.state];
    if (patience && !document.hidden && Date.now() > heardAt + patience) beginAnew();
  }, 1000);
}
