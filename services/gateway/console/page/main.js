// Where the page begins: every part is started once, and told of changes by the state.

import { recolour, startChart } from "./chart.js";
import { startBook } from "./book.js";
import { byId, setText } from "./dom.js";
import { startLive } from "./live.js";
import { startMarkets } from "./market.js";
import { startOperations, stopOperations } from "./operations.js";
import { startOwn } from "./own.js";
import { startSignIn } from "./sign-in.js";
import { state, watch } from "./state.js";
import { startTheme } from "./theme.js";
import { setPrice, startTicket } from "./ticket.js";

const CONNECTION_WORDS = { connecting: "Connecting", live: "Live", away: "Connection lost, trying again" };

function showView(view) {
  document.body.dataset.view = view;
  byId("trade").hidden = view !== "trade";
  byId("operations").hidden = view !== "operations";
  markCurrent("[data-view-button]", (button) => button.dataset.viewButton === view);
  if (view === "operations") startOperations();
  else stopOperations();
}

function showPanel(panel) {
  document.body.dataset.panel = panel;
  markCurrent("[data-panel-button]", (button) => button.dataset.panelButton === panel);
}

function markCurrent(selector, isCurrent) {
  for (const button of document.querySelectorAll(selector)) {
    if (isCurrent(button)) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
}

for (const button of document.querySelectorAll("[data-view-button]")) {
  button.addEventListener("click", () => showView(button.dataset.viewButton));
}
for (const button of document.querySelectorAll("[data-panel-button]")) {
  button.addEventListener("click", () => showPanel(button.dataset.panelButton));
}
document.querySelector(".skip").addEventListener("click", () => {
  showView("trade");
  showPanel("ticket");
});

startTheme(recolour);
startMarkets();
startChart();
startBook((price) => {
  setPrice(price);
  showPanel(document.body.dataset.panel === "book" ? "ticket" : document.body.dataset.panel);
});
startTicket();
startOwn();
startSignIn();
watch(["symbols"], () => {
  if (!state.symbols.size) {
    const empty = byId("chart-empty");
    empty.hidden = false;
    setText(empty, "There are no markets yet. An administrator makes one with PUT /api/admin/symbols/{name}.");
  }
});
startLive((state) => {
  byId("connection").dataset.state = state;
  setText(byId("connection-text"), CONNECTION_WORDS[state]);
});
