// Instants as people read them: how long ago, how long it lasts, or the clock of the reader's own time zone.
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function lasting(seconds) {
  if (seconds < 1) return "0 s";
  const found = UNITS.findIndex(([size]) => seconds >= size);
  const [size, unit] = UNITS[found];
  const whole = Math.floor(seconds / size);
  const next = UNITS[found + 1];
  const rest = next && whole < 10 ? Math.floor((seconds % size) / next[0]) : 0;
  return rest ? `${whole} ${unit} ${rest} ${next[1]}` : `${whole} ${unit}`;
}

function clock(instant) {
  const today = instant.toDateString() === new Date().toDateString();
  const time = instant.toLocaleTimeString(undefined, { hour12: false });
  return today ? time : `${instant.toLocaleDateString()} ${time}`;
}

const SHOWN = {
  age: (instant, now) => (now - instant < 1000 ? "now" : `${lasting((now - instant) / 1000)} ago`),
  lasting: (instant, now) => lasting((now - instant) / 1000),
  clock,
};

export function showTimes() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-show]")) {
    const text = SHOWN[time.dataset.show](new Date(time.dateTime), now);
    if (time.textContent !== text) time.textContent = text;
  }
}
