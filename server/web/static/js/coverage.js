// The calendar of what is on disk, a day's bars, and fetching what is missing.

import { get, post, query, follow, remove } from "./api.js";
import { $, h, say, setText, testid } from "./dom.js";
import { eventsOf } from "./corporate.js";
import { Day } from "./day.js";
import { count, number, running, symbolsOf, timeOfDay, wrongSymbol } from "./format.js";
import { navigable, repaint, rove, symbolBlock } from "./heatmap.js";
import { apply, newProgress } from "./progress.js";

const MOST_SYMBOLS = 12;
const LOOK_AGAIN_MS = 1200;
const UNFETCHED = ["missing", "damaged"];

const form = $("#look");
const blocks = $("#blocks");
const view = { asked: null, symbols: {}, chosen: null };
const day = new Day(
  (symbol) => Object.keys(view.symbols[symbol]?.days ?? {}).sort(),
  (symbol) => eventsOf(view.symbols[symbol] ?? {}),
);

navigable(blocks, choose);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  load(true);
});
$("#fetch").addEventListener("click", fetchMissing);
$("#day").addEventListener("click", (event) => {
  const step = event.target.closest("[data-step]")?.dataset.step;
  if (step) move(Number(step));
});
load(false);

/** Ask for the coverage of what the form says; without symbols, of those on disk. */
async function load(remember) {
  const { symbol, resolution, start, end } = form.elements;
  say($("#refusal"), null);
  $("#calendar").setAttribute("aria-busy", "true");
  try {
    let symbols = symbolsOf(symbol.value);
    let more = 0;
    const wrong = wrongSymbol(symbols) ?? (end.value < start.value ? "The last day lies before the first." : null);
    if (wrong) throw new Error(wrong);
    if (!symbols.length) {
      const found = (await get(`/api/symbols?${query({ resolution: resolution.value })}`)).symbols;
      symbols = found.slice(0, MOST_SYMBOLS);
      more = found.length - symbols.length;
    }
    const asked = { symbol: symbols, resolution: resolution.value, start: start.value, end: end.value };
    if (remember) history.replaceState(null, "", `/coverage?${query({ ...asked, symbol: symbolsOf(symbol.value) })}`);
    view.asked = asked;
    await look(more ? [`${count(more, "further symbol")} on disk; name the ones to see.`] : []);
  } catch (error) {
    say($("#refusal"), error.message);
  }
  $("#calendar").setAttribute("aria-busy", "false");
}

async function look(notices = []) {
  const { asked } = view;
  $("#nothing").hidden = asked.symbol.length > 0;
  const found = asked.symbol.length ? await get(`/api/coverage?${query(asked)}`) : { symbols: {}, notices: [] };
  if (asked !== view.asked) return; // the form has changed since
  view.symbols = found.symbols;
  draw([...found.notices, ...notices]);
}

function draw(notices) {
  if (!repaint(blocks, view.symbols)) {
    blocks.replaceChildren(...Object.entries(view.symbols).map(([symbol, found]) => symbolBlock(symbol, found)));
    rove(blocks, $("td.day", blocks));
  }
  markChosen();
  const totals = {};
  for (const { counts } of Object.values(view.symbols)) {
    for (const [state, days] of Object.entries(counts)) totals[state] = (totals[state] ?? 0) + days;
  }
  for (const place of document.querySelectorAll("[data-count]")) setText(place, number(totals[place.dataset.count] ?? 0));
  $("#marks").hidden = !Object.values(view.symbols).some((found) => found.factor_file?.events.length || found.doubts?.length);
  const wanted = UNFETCHED.reduce((sum, state) => sum + (totals[state] ?? 0), 0);
  const button = $("#fetch");
  button.hidden = !wanted;
  setText(button, `Fetch ${count(wanted, "missing day")}`);
  const list = $("#notices");
  list.hidden = !notices.length;
  list.replaceChildren(...notices.map((text) => h("li", {}, text)));
}

function cellOf(symbol, iso) {
  return blocks.querySelector(`td.day[data-symbol="${CSS.escape(symbol)}"][data-day="${CSS.escape(iso)}"]`);
}

function choose(symbol, iso, state) {
  view.chosen = { symbol, iso };
  markChosen();
  for (const button of document.querySelectorAll("[data-step]")) button.hidden = false;
  day.show(symbol, iso, state, view.asked.resolution);
  if (matchMedia("(max-width: 980px)").matches) $("#day").scrollIntoView({ block: "nearest" });
}

function markChosen() {
  blocks.querySelector('[aria-selected="true"]')?.removeAttribute("aria-selected");
  if (view.chosen) cellOf(view.chosen.symbol, view.chosen.iso)?.setAttribute("aria-selected", "true");
}

/** Show the session before or after the one shown. */
function move(step) {
  const { symbol, iso } = view.chosen;
  const days = Object.keys(view.symbols[symbol]?.days ?? {}).sort();
  const next = days[days.indexOf(iso) + step];
  if (!next) return;
  rove(blocks, cellOf(symbol, next));
  choose(symbol, next, view.symbols[symbol].days[next]);
}

async function fetchMissing() {
  const { symbol: symbols, resolution, start, end } = view.asked;
  const button = $("#fetch");
  button.disabled = true;
  say($("#refusal"), null);
  try {
    const { id } = await post("/api/downloads", { symbols, resolution, start, end });
    watch(id, symbols);
  } catch (error) {
    say($("#refusal"), error.message);
    button.disabled = false;
  }
}

/** Follow a download: its progress in words, and the calendar as its days arrive. */
function watch(id, symbols) {
  const api = `/api/downloads/${encodeURIComponent(id)}`;
  const box = $("#following");
  const text = testid("following-text");
  const bar = $("progress", box);
  const progress = newProgress(symbols);
  let timer = 0;
  box.hidden = false;
  setText(text, "Waiting for its turn.");
  testid("following-link").href = `/backtests/${encodeURIComponent(id)}`;
  const cancel = testid("following-cancel");
  cancel.hidden = false;
  cancel.onclick = () => remove(api).catch((error) => say($("#refusal"), error.message));
  const ticking = setInterval(showProgress, 1000);

  function showProgress() {
    const done = progress.present + progress.done;
    bar.max = progress.requested || 1;
    bar.value = progress.requested ? done : 0;
    const wait = progress.wait?.until ? ` ${progress.wait.why}: ${progress.wait.then} at ${timeOfDay(progress.wait.until)}, in ${running(Math.ceil(Math.max(0, (progress.wait.until - Date.now()) / 1000)))}.` : "";
    if (progress.started) setText(text, `${number(done)} of ${count(progress.requested, "symbol-day")}; ${number(progress.bars)} bars in ${count(progress.api_calls, "request")}.${wait}`);
  }

  follow(`${api}/events`, {
    onEvent(event) {
      apply(progress, event);
      showProgress();
      if (event.kind === "days" && !timer) {
        timer = setTimeout(() => { timer = 0; look().catch(() => {}); }, LOOK_AGAIN_MS);
      }
    },
    async onEnd() {
      clearInterval(ticking);
      clearTimeout(timer);
      cancel.hidden = true;
      $("#fetch").disabled = false;
      try {
        const job = await get(api);
        const report = job.result.download;
        const error = job.result.error;
        setText(text, error ? error.message : `${number(report?.days_downloaded ?? 0)} downloaded, ${number(report?.days_empty ?? 0)} without bars, ${number(report?.days_failed ?? 0)} failed.`);
        text.className = error ? "bad" : "";
        bar.value = error ? bar.value : bar.max;
        await look();
        if (view.chosen) {
          const { symbol, iso } = view.chosen;
          const state = view.symbols[symbol]?.days[iso];
          if (state) day.show(symbol, iso, state, view.asked.resolution);
        }
      } catch (error) {
        say($("#refusal"), error.message);
      }
    },
  });
}
