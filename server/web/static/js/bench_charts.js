// Bars and lines of the benchmark archive, drawn as SVG.

import { h, svg } from "./dom.js";
import { number, size } from "./format.js";

const OWN = "polygon";

const seconds = (value) => (value < 0.1 ? `${+(value * 1000).toPrecision(3)} ms` : `${value < 10 ? value.toFixed(2) : value.toFixed(1)} s`);

/** One scenario of one run: a bar for each contender with the spread of its runs, and the figures below. */
export function scenarioCard(scenario) {
  const contenders = scenario.contenders.filter(ran);
  const most = Math.max(...contenders.map((one) => one.max_s ?? one.median_s), 1e-9);
  const own = contenders.find((one) => one.name === OWN);
  const WIDTH = innerWidth < 700 ? 350 : 540; // about as many units as pixels, so that text keeps its size
  const [left, right, line] = [154, 62, 26];
  const scale = (value) => left + ((WIDTH - left - right) * value) / most;
  const drawing = svg("svg", { class: "drawing", viewBox: `0 0 ${WIDTH} ${contenders.length * line}`, role: "img", "aria-label": `${scenario.name}: median seconds, ${contenders.map((one) => `${one.name} ${seconds(one.median_s)}`).join(", ")}` });
  contenders.forEach((one, place) => {
    const y = place * line;
    drawing.append(svg("g", { class: one.name === OWN ? "own" : null },
      svg("text", { x: 0, y: y + 17 }, short(one.name)),
      svg("line", { class: "track-line", x1: left, x2: WIDTH - right, y1: y + 13, y2: y + 13 }),
      svg("rect", { class: "box", x: left, y: y + 6, width: Math.max(1, scale(one.median_s) - left), height: 14 }),
      svg("line", { class: "whisker", x1: scale(one.min_s), x2: scale(one.max_s), y1: y + 13, y2: y + 13 }),
      svg("line", { class: "whisker", x1: scale(one.min_s), x2: scale(one.min_s), y1: y + 9, y2: y + 17 }),
      svg("line", { class: "whisker", x1: scale(one.max_s), x2: scale(one.max_s), y1: y + 9, y2: y + 17 }),
      svg("text", { x: WIDTH, y: y + 17, "text-anchor": "end" }, seconds(one.median_s))));
  });
  return h("article", { class: "panel", "data-testid": "scenario", "data-scenario": scenario.name },
    h("h3", {}, scenario.name),
    contenders.some((one) => one.simulated) && h("p", { class: "dim", "data-testid": "simulated" }, "Simulated seconds: waits advance a clock."),
    contenders.length > 0 && drawing, figures(scenario.name, scenario.contenders, own));
}

function figures(name, contenders, own) {
  const right = (text) => h("td", { class: "right num" }, text);
  const known = (value, shown) => (value === null || value === undefined ? "–" : shown(value));
  const head = ["Contender", "Median", "Best", "Worst", `× ${OWN}`, "Requests", "Cache hits", "Bytes", "Memory"];
  const figuresOf = (one) => [
    right(seconds(one.median_s)), right(known(one.min_s, seconds)), right(known(one.max_s, seconds)),
    right(own ? (one.median_s / own.median_s).toFixed(2) : "–"), right(known(one.requests, number)),
    right(known(one.cache_hits, number)), right(known(one.bytes, size)), right(known(one.peak_mb, (value) => size(value * 1e6)))];
  const reasonOf = (one) => h("td", { class: "dim", colspan: head.length - 1, "data-testid": "not-run" }, `not run: ${one.not_run || "no figures"}`);
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Figures of ${name}` },
    h("table", { class: "list" },
      h("thead", {}, h("tr", {}, ...head.map((text, place) => h("th", { scope: "col", class: place ? "right" : null }, text)))),
      h("tbody", {}, ...contenders.map((one) => h("tr", {},
        h("td", {}, one.name), ...(ran(one) ? figuresOf(one) : [reasonOf(one)]))))));
}

/** One figure over all runs, with a line for each contender. */
export function historyCard(title, runs, pick, shown) {
  return lineCard("history-chart", title, runs, pick, shown, dayOf, (run) => dayOf(run).slice(5));
}

/** The steps of a series, with a line for each contender: best seconds, or microseconds for each bar. */
export function seriesCard(steps) {
  const { over, series } = steps[0];
  const perBar = over === "bars";
  const pick = (step) => step.contenders.filter(ran).map((one) => [one.name, perBar ? one.us_per_bar : one.min_s]);
  const label = (step) => `${number(step[over])} ${over}`;
  const shown = perBar ? (value) => `${+value.toPrecision(3)} µs` : seconds;
  return lineCard("series-chart", `${series}: best ${perBar ? "time for each bar" : "time"} by ${over}`, steps, pick, shown, label, label);
}

/** A line for each contender over `columns`; the scale is logarithmic if the values differ by more than a factor of 20. */
function lineCard(kind, title, columns, pick, shown, label, lastLabel) {
  const lines = new Map();
  columns.forEach((column, place) => {
    for (const [name, value] of pick(column)) {
      if (value === null || value === undefined) continue;
      if (!lines.has(name)) lines.set(name, []);
      lines.get(name).push([place, value, column]);
    }
  });
  if (!lines.size) return null;
  const values = [...lines.values()].flat().map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (!high) return null;
  const log = low > 0 && high / low > 20;
  const ticks = log ? decades(low, high) : [0, high / 2, high];
  const [width, height, top, bottom, left, right] = [410, 190, 12, 158, 58, 154];
  const x = (place) => (columns.length > 1 ? left + ((width - left - right) * place) / (columns.length - 1) : (left + width - right) / 2);
  const part = (value) => (log ? Math.log(value / ticks[0]) / Math.log(ticks.at(-1) / ticks[0]) : value / high);
  const y = (value) => bottom - (bottom - top) * part(value);
  const drawing = svg("svg", { class: "drawing", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${[...lines].map(([name, points]) => `${name} ${points.map(([, value]) => shown(value)).join(", ")}`).join("; ")}` },
    ...ticks.map((value) => svg("g", {},
      svg("line", { class: "track-line", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      svg("text", { class: "axis", x: left - 8, y: y(value) + 4, "text-anchor": "end" }, shown(value)))),
    svg("text", { class: "axis", x: left, y: height - 8 }, label(columns[0])),
    columns.length > 1 && svg("text", { class: "axis", x: width - right, y: height - 8, "text-anchor": "end" }, lastLabel(columns.at(-1))));
  const taken = [];
  const ordered = [...lines].sort(([, one], [, other]) => other.at(-1)[1] - one.at(-1)[1]);
  ordered.forEach(([name, points], place) => {
    const own = name === OWN ? "own" : "";
    const dash = own ? "" : ["", "dashed", "dotted"][place % 3];
    drawing.append(
      svg("polyline", { class: `graph ${own} ${dash}`, points: points.map(([at, value]) => `${x(at)},${y(value)}`).join(" ") }),
      ...points.map(([at, value, column]) => svg("circle", { class: `dot ${own}`, cx: x(at), cy: y(value), r: own ? 3 : 2.2 }, svg("title", {}, `${name}, ${label(column)}: ${shown(value)}`))),
      svg("text", { class: own ? "" : "axis", x: width - right + 8, y: free(taken, y(points.at(-1)[1]) + 4) }, short(name)));
  });
  return card(kind, log ? `${title}, logarithmic` : title, drawing);
}

function card(kind, title, content) {
  return h("article", { class: "panel", "data-testid": kind }, h("h4", {}, title), content);
}

function decades(low, high) {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  return Array.from({ length: to - from + 1 }, (_, place) => 10 ** (from + place));
}

/** A height near the wanted one, below those taken; lines come in order from the highest to the lowest. */
function free(taken, wanted) {
  const at = Math.max(wanted, (taken.at(-1) ?? -99) + 13);
  taken.push(at);
  return at;
}

const short = (name) => (name.length > 20 ? `${name.slice(0, 19)}…` : name);

/** Whether a contender has a time; one that was not run has a reason instead. */
const ran = (one) => typeof one.median_s === "number";

export const dayOf = (run) => String(run.date).slice(0, 10);
export { seconds };
