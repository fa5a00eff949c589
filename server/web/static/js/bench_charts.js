// Bars and lines of the benchmark archive, drawn as SVG.

import { h, svg } from "./dom.js";
import { number, size } from "./format.js";

const OWN = "native";
const WIDTH = 560;

const seconds = (value) => `${value < 10 ? value.toFixed(2) : value.toFixed(1)} s`;

/** One scenario of one run: a bar for each contender with the spread of its runs, and the figures below. */
export function scenarioCard(scenario) {
  const { contenders } = scenario;
  const most = Math.max(...contenders.map((one) => one.max_s ?? one.median_s), 1e-9);
  const own = contenders.find((one) => one.name === OWN);
  const [left, right, line] = [118, 78, 26];
  const scale = (value) => left + ((WIDTH - left - right) * value) / most;
  const drawing = svg("svg", { class: "drawing", viewBox: `0 0 ${WIDTH} ${contenders.length * line}`, role: "img", "aria-label": `${scenario.name}: median seconds, ${contenders.map((one) => `${one.name} ${seconds(one.median_s)}`).join(", ")}` });
  contenders.forEach((one, place) => {
    const y = place * line;
    drawing.append(svg("g", { class: one.name === OWN ? "own" : null },
      svg("text", { x: 0, y: y + 17 }, one.name.length > 15 ? `${one.name.slice(0, 14)}…` : one.name),
      svg("line", { class: "track-line", x1: left, x2: WIDTH - right, y1: y + 13, y2: y + 13 }),
      svg("rect", { class: "box", x: left, y: y + 6, width: Math.max(1, scale(one.median_s) - left), height: 14 }),
      svg("line", { class: "whisker", x1: scale(one.min_s), x2: scale(one.max_s), y1: y + 13, y2: y + 13 }),
      svg("line", { class: "whisker", x1: scale(one.min_s), x2: scale(one.min_s), y1: y + 9, y2: y + 17 }),
      svg("line", { class: "whisker", x1: scale(one.max_s), x2: scale(one.max_s), y1: y + 9, y2: y + 17 }),
      svg("text", { x: WIDTH, y: y + 17, "text-anchor": "end" }, seconds(one.median_s))));
  });
  return h("article", { class: "panel", "data-testid": "scenario", "data-scenario": scenario.name },
    h("h3", {}, scenario.name), drawing, figures(contenders, own));
}

function figures(contenders, own) {
  const right = (text) => h("td", { class: "right num" }, text);
  const known = (value, shown) => (value === null || value === undefined ? "–" : shown(value));
  const head = ["Contender", "Median", "Best", "Worst", "× native", "Requests", "Cache hits", "Bytes"];
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Figures" },
    h("table", { class: "list" },
      h("thead", {}, h("tr", {}, ...head.map((text, place) => h("th", { scope: "col", class: place ? "right" : null }, text)))),
      h("tbody", {}, ...contenders.map((one) => h("tr", {},
        h("td", {}, one.name), right(seconds(one.median_s)), right(known(one.min_s, seconds)), right(known(one.max_s, seconds)),
        right(own ? (one.median_s / own.median_s).toFixed(2) : "–"), right(known(one.requests, number)),
        right(known(one.cache_hits, number)), right(known(one.bytes, size)))))));
}

/** One figure over all runs, a line for each contender. */
export function historyCard(title, runs, pick, shown) {
  const lines = new Map();
  runs.forEach((run, place) => {
    for (const [name, value] of pick(run)) {
      if (value === null || value === undefined) continue;
      if (!lines.has(name)) lines.set(name, []);
      lines.get(name).push([place, value, run]);
    }
  });
  if (!lines.size) return null;
  const most = Math.max(...[...lines.values()].flat().map(([, value]) => value), 1e-9);
  const [top, bottom, left, right, height] = [10, 150, 56, 124, 178];
  const x = (place) => (runs.length > 1 ? left + ((WIDTH - left - right) * place) / (runs.length - 1) : (left + WIDTH - right) / 2);
  const y = (value) => bottom - ((bottom - top) * value) / most;
  const drawing = svg("svg", { class: "drawing", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": `${title}: ${[...lines].map(([name, points]) => `${name} ${points.map(([, value]) => shown(value)).join(", ")}`).join("; ")}` },
    ...[0, 0.5, 1].map((part) => svg("g", {},
      svg("line", { class: "track-line", x1: left, x2: WIDTH - right, y1: y(part * most), y2: y(part * most) }),
      svg("text", { class: "axis", x: left - 8, y: y(part * most) + 4, "text-anchor": "end" }, shown(part * most)))),
    svg("text", { class: "axis", x: left, y: height - 6 }, dayOf(runs[0])),
    runs.length > 1 && svg("text", { class: "axis", x: WIDTH - right, y: height - 6, "text-anchor": "end" }, dayOf(runs.at(-1))));
  const taken = [];
  [...lines].forEach(([name, points], place) => {
    const own = name === OWN ? "own" : "";
    const dash = own ? "" : ["", "dashed", "dotted"][place % 3];
    drawing.append(
      svg("polyline", { class: `graph ${own} ${dash}`, points: points.map(([at, value]) => `${x(at)},${y(value)}`).join(" ") }),
      ...points.map(([at, value, run]) => svg("circle", { class: `dot ${own}`, cx: x(at), cy: y(value), r: own ? 3 : 2.2 }, svg("title", {}, `${name}, ${dayOf(run)}: ${shown(value)}`))),
      svg("text", { class: own ? "" : "axis", x: WIDTH - right + 10, y: free(taken, y(points.at(-1)[1]) + 4) }, name.length > 15 ? `${name.slice(0, 14)}…` : name));
  });
  return h("article", { class: "panel", "data-testid": "history-chart" }, h("h3", {}, title), drawing);
}

/** A height near the wanted one at which no other label stands. */
function free(taken, wanted) {
  let at = wanted;
  for (let step = 1; taken.some((other) => Math.abs(other - at) < 13); step += 1) at = wanted + (step % 2 ? 1 : -1) * Math.ceil(step / 2) * 7;
  taken.push(at);
  return at;
}

export const dayOf = (run) => String(run.date).slice(0, 10);
export { seconds };
