// The charts of the last quarter of an hour, with uPlot.
const KINDS = {
  throughput: { labels: ["succeeded", "failed"], lines: (h) => [h.succeeded, h.failed], colours: ["--good", "--bad"] },
  waiting: { labels: ["waiting"], lines: (h) => [h.waiting], colours: ["--wait"] },
  slots: { labels: ["busy", "slots"], lines: (h) => [h.busy, h.slots], colours: ["--accent", "--dim"] },
};
const HEIGHT = 132;
const SHORTEST_SECONDS = 120;
const charts = new Map();
let latest = null;

const clock = (at, seconds) => new Date(at * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hour12: false });
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function axis(extra) {
  const line = colour("--line");
  return { stroke: colour("--dim"), grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "11px system-ui", ...extra };
}

function makeChart(place, kind) {
  const series = kind.labels.map((label, index) => ({
    label,
    stroke: colour(kind.colours[index]),
    fill: index === 0 ? `${colour(kind.colours[index])}22` : undefined,
    dash: label === "slots" ? [4, 4] : undefined,
    width: 1.5,
    points: { show: false },
  }));
  const options = {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { size: 5 } },
    scales: { y: { range: (_chart, _low, high) => [0, Math.max(1, (high ?? 0) * 1.15)] } },
    axes: [
      axis({ size: 24, space: 70, values: (_chart, ticks, _axis, _space, step) => ticks.map((at) => clock(at, step < 60)) }),
      axis({ size: 44, space: 34, values: (_chart, ticks) => ticks.map((number) => (Number.isInteger(number) ? number.toLocaleString() : number.toFixed(1))) }),
    ],
    series: [{}, ...series],
    hooks: { setCursor: [(chart) => showValues(place, kind, chart.cursor.idx)] },
  };
  place.replaceChildren();
  return new uPlot(options, [[], ...kind.labels.map(() => [])], place);
}

// The values under the pointer, or the newest, beside the chart's title and for screen readers.
function showValues(place, kind, index) {
  if (!latest?.at.length) return;
  const lines = kind.lines(latest);
  const at = index ?? latest.at.length - 1;
  // Where nobody looked nothing is known, which is not 0.
  const said = kind.labels.map((label, line) => `${lines[line][at]?.toLocaleString(undefined, { maximumFractionDigits: 1 }) ?? "–"} ${label}`);
  const caption = place.parentElement.querySelector("figcaption");
  let shown = caption.querySelector(".values");
  if (!shown) {
    shown = document.createElement("span");
    shown.className = "values num";
    caption.append(shown);
  }
  shown.textContent = said.join(" · ");
  place.setAttribute("aria-label", `${caption.firstChild.textContent}: ${said.join(", ")}`);
}

export function drawHistory(history) {
  latest = history;
  for (const place of document.querySelectorAll("[data-chart]")) {
    const kind = KINDS[place.dataset.chart];
    if (!charts.has(place)) charts.set(place, makeChart(place, kind));
    // Of one instant alone no line can be drawn; what is older than the first one nobody counted.
    const at = history.at;
    const last = at[at.length - 1];
    const span = at.length ? [Math.min(at[0], last - SHORTEST_SECONDS), last] : null;
    const chart = charts.get(place);
    chart.setData([at, ...kind.lines(history)], true);
    if (span) chart.setScale("x", { min: span[0], max: span[1] });
    if (chart.cursor.idx == null) showValues(place, kind, null);
  }
}

export function redrawCharts() {
  for (const chart of charts.values()) chart.destroy();
  charts.clear();
  if (latest) drawHistory(latest);
}

let resizing = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(resizing);
  resizing = requestAnimationFrame(() => {
    for (const [place, chart] of charts) chart.setSize({ width: place.clientWidth, height: HEIGHT });
  });
});
