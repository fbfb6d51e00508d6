// The grid of a split task's chunks: one letter a cell, as chunk_cells.py says; a click lists the cell's chunks.
const NAMES = { w: "waiting", q: "in the queue", r: "running", s: "succeeded", p: "partly succeeded", f: "failed", x: "not run to the end" };

export function paintCells({ cells, together }) {
  const grid = document.getElementById("cells");
  if (!grid) return;
  while (grid.childElementCount > cells.length) grid.lastChild.remove();
  while (grid.childElementCount < cells.length) grid.append(document.createElement("i"));
  grid.dataset.together = together;
  for (let index = 0; index < cells.length; index++) {
    const cell = grid.children[index];
    const kind = `cell ${cells[index]}`;
    if (cell.className === kind) continue;
    cell.className = kind;
    const first = index * together;
    const which = together > 1 ? `chunks ${first} to ${first + together - 1}` : `chunk ${first}`;
    cell.title = `${which}: ${NAMES[cells[index]]}`;
  }
}

export function setUpCells() {
  const grid = document.getElementById("cells");
  if (!grid) return;
  paintCells({ cells: grid.dataset.cells, together: Number(grid.dataset.together) });
  grid.addEventListener("click", (event) => {
    const index = [...grid.children].indexOf(event.target);
    const before = index * Number(grid.dataset.together) - 1;
    if (index < 0) return;
    const address = before >= 0 ? `${grid.dataset.chunks}?after=${before}` : grid.dataset.chunks;
    htmx.ajax("GET", address, { target: "#chunk-table", select: "#chunk-table", swap: "outerHTML" });
  });
}
