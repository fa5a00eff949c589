// One backtest: its events from the first one on, so that a reload in the middle shows the same.

import { follow, get, post, remove } from "./api.js";
import { $, localTimes, refresh, say, setText } from "./dom.js";
import { running } from "./format.js";
import { Log } from "./log.js";
import { newProgress, apply } from "./progress.js";
import { drawProgress } from "./progress_view.js";
import { drawRun } from "./run_view.js";

const main = $("#main");
const api = main.dataset.api;
const progress = newProgress(main.dataset.symbols.split(" ").filter(Boolean));
const log = new Log($("#log-lines"), $("#log-level"));
let pending = [];
let chart = null;
let updating = Promise.resolve();

localTimes();
$("#log").hidden = false;
main.addEventListener("click", act);
drawResult();
follow(`${api}/events`, { onEvent: take, onEnd: finish, onState: tellStream });
setInterval(tick, 1000);
tick();

function over() {
  return $("#head").dataset.over === "yes";
}

/** Events come in bursts, thousands after a reload: they are drawn once a frame. */
function take(event) {
  apply(progress, event);
  pending.push(event);
  if (pending.length === 1) requestAnimationFrame(draw);
}

function draw() {
  const events = pending;
  pending = [];
  log.add(events);
  drawProgress(progress, over());
  drawRun(progress.run, over());
  if (events.some((event) => event.kind === "state") && !over()) update();
  if (events.some((event) => event.kind === "phase" || event.kind === "round") && !over()) update();
}

/** The server's own rendering of what has changed, one after another. */
function update() {
  updating = updating.then(async () => {
    try {
      const page = await refresh(["head", "result", "totals", "phases"]);
      document.title = page.title;
      tick();
      drawProgress(progress, over());
      drawRun(progress.run, over());
    } catch { /* the stream says whether the server is there; the end is requested again */ }
  });
  return updating;
}

async function finish() {
  if (pending.length) draw();
  await update();
  if (!over()) setTimeout(finish, 1000);
  else drawResult();
}

async function drawResult() {
  const place = $("#equity");
  if (!place || place.childElementCount) return;
  try {
    const job = await get(api);
    const { dates, values } = job.result.engine?.equity ?? { dates: [], values: [] };
    if (!dates.length) return;
    const { drawEquity } = await import("./charts.js");
    chart?.remove();
    chart = drawEquity(place, dates, values, (day, value) => {
      setText($("#equity-at"), `${day}  ${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`);
    });
  } catch (error) {
    say($("#action-error"), error.message);
  }
}

async function act(event) {
  const button = event.target.closest("button[data-action]");
  if (!button) return;
  button.disabled = true;
  say($("#action-error"), null);
  try {
    if (button.dataset.action === "cancel") {
      await remove(api);
      await update();
    } else {
      const { id } = await post(`${api}/retry`);
      location.assign(`/backtests/${encodeURIComponent(id)}`);
      return;
    }
  } catch (error) {
    say($("#action-error"), error.message);
  }
  button.disabled = false;
}

function tick() {
  const { started } = $("#head").dataset;
  const place = $("[data-since]", $("#head"));
  if (place && started) setText(place, running((Date.now() - Date.parse(started)) / 1000));
  drawProgress(progress, over());
}

function tellStream(state) {
  const said = { live: over() ? "" : "live", lost: "connection lost, trying again", ended: "" };
  setText($("#stream-state"), said[state]);
}
