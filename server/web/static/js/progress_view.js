// How far a job is, drawn: the sentence, the bar, the wait, the figures, the phases, and a row for each symbol.

import { $, h, say, setText } from "./dom.js";
import { count, duration, number, running, size, timeOfDay } from "./format.js";
import { daysOf, fetched, presentBefore } from "./progress.js";

const rows = new Map();

export function drawProgress(progress, over) {
  const engine = progress.phase === "engine"; // then the totals are those of the request's download
  $("#live").hidden = over || !progress.phase || (engine && !progress.downloading);
  $("#tiles").hidden = engine;
  if (!over) {
    drawSentence(progress);
    drawWait(progress.wait);
    drawTiles(progress);
    drawPhases(progress);
  } else drawCutOff(progress);
  drawSymbols(progress);
}

function drawSentence(progress) {
  const done = progress.present + progress.done;
  const bar = $("#progress");
  bar.max = progress.requested || 1;
  bar.value = progress.requested ? done : progress.finished ? 1 : 0;
  let text = "Looking at what is on disk.";
  if (progress.started) {
    text = `${number(done)} of ${count(progress.requested, "symbol-day")} on disk; ${number(progress.requested - done)} to come from ${progress.provider}.`;
    if (done >= progress.requested) text = `All ${count(progress.requested, "symbol-day")} done.`;
  } else if (progress.finished) {
    bar.max = bar.value = 1;
    text = "All days were on disk; no request was sent.";
  }
  setText($("#progress-text"), text);
}

function drawWait(wait) {
  const left = wait?.until ? (wait.until - Date.now()) / 1000 : null;
  if (!wait || (left !== null && left <= 0)) return say($("#wait"), null);
  const when = left === null ? "" : `: ${wait.then} at ${timeOfDay(wait.until)}, in ${running(Math.ceil(Math.max(0, left)))}`;
  return say($("#wait"), `${wait.why || "It waits"}${when}`);
}

function drawTiles(progress) {
  const tiles = {
    "Bars written": number(progress.bars), Fetched: size(progress.bytes), Requests: number(progress.api_calls),
    "Cache hits": number(progress.cache_hits), Retries: number(progress.retries),
  };
  const list = $("#tiles");
  if (!list.childElementCount) {
    list.append(...Object.keys(tiles).map((name) => h("div", {}, h("dt", {}, name), h("dd"))));
  }
  Object.values(tiles).forEach((text, place) => setText(list.children[place].lastElementChild, text));
}

function drawPhases(progress) {
  const begun = Object.keys(progress.phases);
  for (const item of document.querySelectorAll("#phases li")) {
    const { phase } = item.dataset;
    if (!(phase in progress.phases)) continue;
    const now = progress.phase === phase;
    item.className = now ? "now" : "done";
    const from = Date.parse(progress.phases[phase]);
    const next = progress.phases[begun[begun.indexOf(phase) + 1]];
    const text = now ? `for ${running((Date.now() - from) / 1000)}` : next ? `done in ${duration((Date.parse(next) - from) / 1000)}` : "done";
    setText($(".what", item), text);
  }
}

/** A phase that a stop of the server cut off left no trace but its event. */
function drawCutOff(progress) {
  if (progress.state !== "interrupted") return;
  for (const item of document.querySelectorAll("#phases li")) {
    if (item.className || !(item.dataset.phase in progress.phases)) continue;
    item.className = "halted";
    setText($(".what", item), "cut off");
  }
}

function drawSymbols(progress) {
  $("#symbols").hidden = !progress.started;
  if (!progress.started) return;
  const body = $("#symbols tbody");
  for (const [key, series] of progress.series) {
    if (!rows.has(key)) {
      const row = newRow(series);
      rows.set(key, row);
      body.append(row.element);
    }
    drawRow(rows.get(key), series, daysOf(progress, series), presentBefore(progress, series));
  }
}

function newRow({ symbol, resolution }) {
  const parts = { was: h("i", { class: "was" }), got: h("i", { class: "got" }), early: h("i", { class: "early" }), none: h("i", { class: "none" }) };
  const cells = Object.fromEntries(["done", "all", "bars", "bytes", "requests", "hits", "from"].map((key) => [key, h("span")]));
  cells.done.className = "num";
  const right = (cell) => h("td", { class: "right num" }, cell);
  const element = h("tr", { "data-testid": "symbol-row", "data-symbol": symbol, "data-resolution": resolution },
    h("th", { scope: "row", class: "num" }, symbol), h("td", {}, resolution),
    h("td", { class: "meter" }, h("div", { class: "pair" }, h("div", { class: "track", "aria-hidden": "true" }, ...Object.values(parts)), cells.done)),
    right(cells.all), right(cells.bars), right(cells.bytes), right(cells.requests), right(cells.hits), h("td", {}, cells.from));
  return { element, parts, cells };
}

function drawRow({ parts, cells, element }, series, all, present) {
  const share = (days) => `${all ? (100 * days) / all : 0}%`;
  parts.was.style.width = share(present);
  parts.got.style.width = share(series.downloaded);
  parts.early.style.width = share(series.provisional);
  parts.none.style.width = share(series.empty);
  const done = present + fetched(series);
  element.dataset.done = done;
  setText(cells.done, number(done));
  setText(cells.all, number(all));
  setText(cells.bars, number(series.bars));
  setText(cells.bytes, size(series.bytes));
  setText(cells.requests, number(series.api_calls));
  setText(cells.hits, number(series.cache_hits));
  setText(cells.from, series.fallback ? `${series.provider}, then ${series.fallback}` : series.provider || "disk");
  element.title = `${present} on disk before, ${series.downloaded} downloaded, ${series.provisional} provisional, ${series.empty} without bars`;
}
