// What htmx does not do by itself: times that go on, charts, the chunks' grid, output as it is written.
// Everything that comes from tasks is set as text, never as HTML.
import { drawHistory, redrawCharts } from "./charts.js";
import { appendOutput } from "./output.js";
import { paintCells, setUpCells } from "./cells.js";
import { showTimes } from "./times.js";
import { watchConnection } from "./connection.js";

document.addEventListener("htmx:after:swap", () => showTimes());
document.addEventListener("htmx:sse:after:message", () => showTimes());
document.addEventListener("history", (event) => drawHistory(JSON.parse(event.detail.data)));
document.addEventListener("cells", (event) => paintCells(JSON.parse(event.detail.data)));
document.addEventListener("output", (event) => appendOutput(JSON.parse(event.detail.data)));

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

document.getElementById("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  redrawCharts();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawCharts);

watchConnection();
showTimes();
setInterval(showTimes, 1000);
setUpCells();
