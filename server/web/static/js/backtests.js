// The list of runs, kept live, and the form for a new one.

import { get } from "./api.js";
import { $, localTimes, refresh, setText } from "./dom.js";
import { setUpForm } from "./form.js";
import { running } from "./format.js";

const BUSY_MS = 1500;
const IDLE_MS = 15000;

let timer = 0;

localTimes();
setUpForm($("#new"), get);
tick();
setInterval(tick, 1000);
schedule();
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });


function schedule() {
  clearTimeout(timer);
  timer = setTimeout(look, $("#jobs").dataset.active === "yes" ? BUSY_MS : IDLE_MS);
}

async function look() {
  clearTimeout(timer);
  if (!document.hidden) {
    try {
      await refresh(["jobs"]);
      tick();
    } catch { /* the server is away: what is shown stays, and it is tried again */ }
  }
  schedule();
}

function tick() {
  for (const element of document.querySelectorAll("[data-since]")) {
    setText(element, running((Date.now() - Date.parse(element.dataset.since)) / 1000));
  }
}
