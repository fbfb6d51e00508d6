// Runs before the page is painted, so that it does not flash: light or dark as was chosen here before.
const chosen = localStorage.getItem("theme");
if (chosen) document.documentElement.dataset.theme = chosen;
