// A year of trading days as a grid: a row for each weekday, a column for each week. One cell of a page's grids is
// reached by Tab, the others by the arrow keys.

import { eventsOf, kindOf, showFiles, wordsOf } from "./corporate.js";
import { h, setText } from "./dom.js";
import { longDay, number } from "./format.js";

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_MS = 86_400_000;

const iso = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);

/** The block of one symbol: its name, its counts, and a grid for each year. */
export function symbolBlock(symbol, found) {
  const years = new Map();
  for (const [day, state] of Object.entries(found.days)) {
    const year = day.slice(0, 4);
    if (!years.has(year)) years.set(year, new Map());
    years.get(year).set(day, state);
  }
  const block = h("section", { class: "block", "data-testid": "block", "data-symbol": symbol, "aria-label": symbol },
    h("header", {}, h("h3", {}, symbol), h("span", { class: "num", "data-testid": "block-counts" }, countsOf(found))),
    ...[...years.keys()].sort().map((year) => yearGrid(symbol, year, years.get(year))),
    h("div", { class: "files" }));
  showEvents(block, found);
  return block;
}

/** Show what the factor and map file say, and mark the days on which something happens. */
function showEvents(block, found) {
  if (!showFiles(block, found)) return;
  const events = eventsOf(found);
  for (const one of block.querySelectorAll("td.day")) {
    const event = events.get(one.dataset.day);
    if (!event && !one.dataset.event) continue;
    one.dataset.event = event ? kindOf(event) : "";
    one.dataset.words = event ? wordsOf(event) : "";
    setState(one, one.dataset.state);
  }
}

function countsOf(found) {
  const counts = Object.entries(found.counts).filter(([, days]) => days);
  return counts.map(([state, days]) => `${number(days)} ${state}`).join(" · ") || "no session";
}

/** Show other states in the blocks that are there; false if these hold other symbols or days. */
export function repaint(root, symbols) {
  const shown = [...root.querySelectorAll(".block")];
  if (shown.map((block) => block.dataset.symbol).join() !== Object.keys(symbols).join()) return false;
  for (const block of shown) {
    const found = symbols[block.dataset.symbol];
    const cells = block.querySelectorAll("td.day");
    if (cells.length !== Object.keys(found.days).length) return false;
    for (const one of cells) {
      const state = found.days[one.dataset.day];
      if (!state) return false;
      if (state !== one.dataset.state) setState(one, state);
    }
    setText(block.querySelector('[data-testid="block-counts"]'), countsOf(found));
    showEvents(block, found);
  }
  return true;
}

function setState(one, state) {
  one.dataset.state = state;
  const { event, words } = one.dataset;
  one.firstElementChild.className = `cell ${state}${event ? ` marked has-${event}` : ""}`;
  const what = words ? `${state}, ${words}` : state;
  const day = longDay(one.dataset.day);
  one.setAttribute("aria-label", `${one.dataset.symbol} ${day}, ${what}`);
  one.title = `${one.dataset.symbol} ${day}: ${what}`;
}

function yearGrid(symbol, year, days) {
  const first = Date.UTC(Number(year), 0, 1);
  const monday = first - ((new Date(first).getUTCDay() + 6) % 7) * DAY_MS;
  const weeks = Math.ceil((Date.UTC(Number(year), 11, 31) - monday + DAY_MS) / (7 * DAY_MS));
  const rows = WEEKDAYS.map((name, weekday) => h("tr", {},
    h("th", { scope: "row", class: "label" }, weekday % 2 ? "" : name, weekday % 2 ? h("span", { class: "sr" }, name) : null),
    ...Array.from({ length: weeks }, (_, week) => cell(symbol, iso(monday + (week * 7 + weekday) * DAY_MS), days))));
  return h("table", { class: "year", role: "grid", "aria-label": `${symbol} ${year}`, "data-year": year },
    h("thead", {}, h("tr", {}, h("th", { class: "label num", scope: "col" }, year), ...months(monday, weeks, Number(year)))),
    h("tbody", {}, ...rows));
}

/** The months' names, each above the week of its first working days. */
function months(monday, weeks, year) {
  const begins = Array.from({ length: weeks }, (_, week) => {
    for (let weekday = 0; weekday < 5; weekday += 1) {
      const day = new Date(monday + (week * 7 + weekday) * DAY_MS);
      if (day.getUTCFullYear() === year && day.getUTCDate() <= 7 && (day.getUTCDate() === 1 || weekday === 0)) return day.getUTCMonth();
    }
    return null;
  });
  const cells = [];
  for (let week = 0; week < weeks;) {
    let span = 1;
    while (week + span < weeks && (begins[week + span] === null || begins[week + span] === begins[week])) span += 1;
    cells.push(begins[week] === null ? h("td", { colspan: span }) : h("th", { colspan: span, scope: "colgroup" }, MONTHS[begins[week]]));
    week += span;
  }
  return cells;
}

function cell(symbol, day, days) {
  const state = days.get(day);
  if (!state) return h("td", {});
  const made = h("td", { class: "day", role: "gridcell", tabindex: -1, "data-testid": "day-cell", "data-symbol": symbol, "data-day": day }, h("span"));
  setState(made, state);
  return made;
}

/** Make the cells below this element reachable by keyboard; `choose` receives symbol and day. */
export function navigable(root, choose) {
  root.addEventListener("click", (event) => {
    const found = event.target.closest("td.day");
    if (found) pick(found);
  });
  root.addEventListener("focusin", (event) => {
    if (event.target.matches("td.day")) rove(root, event.target);
  });
  root.addEventListener("keydown", (event) => {
    const found = event.target.closest("td.day");
    if (!found || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") pick(found);
    else {
      const next = MOVES[event.key]?.(root, found);
      if (!next) return;
      next.focus();
    }
    event.preventDefault();
  });
  function pick(found) {
    rove(root, found);
    choose(found.dataset.symbol, found.dataset.day, found.dataset.state);
  }
}

/** Make one cell the one that Tab reaches. */
export function rove(root, target) {
  const before = root.querySelector('td.day[tabindex="0"]');
  if (before === target) return;
  before?.setAttribute("tabindex", "-1");
  target?.setAttribute("tabindex", "0");
}

const MOVES = {
  ArrowLeft: (root, from) => across(root, from, -1),
  ArrowRight: (root, from) => across(root, from, 1),
  ArrowUp: (root, from) => along(root, from, -1),
  ArrowDown: (root, from) => along(root, from, 1),
  Home: (root, from) => [...from.parentElement.querySelectorAll("td.day")][0],
  End: (root, from) => [...from.parentElement.querySelectorAll("td.day")].at(-1),
  PageUp: (root, from) => byGrid(root, from, -1),
  PageDown: (root, from) => byGrid(root, from, 1),
};

/** The same weekday of another week; at a grid's edge, of the grid before or after. */
function across(root, from, step) {
  const row = [...from.parentElement.querySelectorAll("td.day")];
  return row[row.indexOf(from) + step] ?? byGrid(root, from, step);
}

/** The next or previous session. */
function along(root, from, step) {
  const cells = [...root.querySelectorAll("td.day")]
    .filter((one) => one.dataset.symbol === from.dataset.symbol)
    .sort((one, other) => one.dataset.day.localeCompare(other.dataset.day));
  return cells[cells.indexOf(from) + step];
}

function byGrid(root, from, step) {
  const grids = [...root.querySelectorAll("table.year")];
  const cells = [...(grids[grids.indexOf(from.closest("table")) + step]?.querySelectorAll("td.day") ?? [])];
  return step > 0 ? cells[0] : cells.at(-1);
}
