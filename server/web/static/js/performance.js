// The archive of benchmarks: one run by contender, and all runs over time.

import { get } from "./api.js";
import { dayOf, historyCard, scenarioCard, seconds, seriesCard } from "./bench_charts.js";
import { $, h, say } from "./dom.js";
import { number } from "./format.js";

try {
  const { runs } = await get("/api/benchmarks");
  $("#none").hidden = runs.length > 0;
  if (runs.length) show([...runs].sort((one, other) => when(one).localeCompare(when(other))));
} catch (error) {
  say($("#refusal"), error.message);
}

/** When it was measured; the first runs have only the day. */
function when(run) {
  return String(run.measured_at || run.date);
}

function show(runs) {
  $("#found").hidden = false;
  const chooser = $("#run");
  chooser.append(...runs.map((run, place) => h("option", { value: place }, `${String(run.date).slice(0, 16).replace("T", " ")}  ${String(run.commit ?? "").slice(0, 9)}`)).reverse());
  chooser.addEventListener("change", () => one(runs[Number(chooser.value)]));
  one(runs.at(-1));
  const single = (scenario) => !scenario.series; // the steps of a series are compared with each other, not over time
  const names = [...new Set(runs.flatMap((run) => run.scenarios.filter(single).map((scenario) => scenario.name)))];
  const whole = (value) => number(Math.round(value));
  $("#history").append(...names.map((name) => h("section", { class: "history", "data-testid": "history-scenario", "aria-label": name },
    h("h3", {}, name),
    h("div", { class: "cards" }, ...[
      historyCard("Median time", runs, pick(name, "median_s"), seconds),
      historyCard("Requests", runs, pick(name, "requests"), whole),
      historyCard("Cache hits", runs, pick(name, "cache_hits"), whole),
      historyCard("Memory", runs, pick(name, "peak_mb"), (value) => `${whole(value)} MB`),
    ].filter(Boolean)))));
}

function one(run) {
  const repeated = run.environment?.against ? ["live", "latency_s"] : []; // `against` contains them
  const facts = Object.entries(run.environment ?? {}).filter(([name, value]) => value !== null && !repeated.includes(name)).map(([name, value]) => `${name} ${value}`);
  $("#environment").textContent = [`commit ${String(run.commit ?? "unknown").slice(0, 9)}`, dayOf(run), ...facts].join(" · ");
  const series = [...new Set(run.scenarios.map((scenario) => scenario.over && scenario.series).filter(Boolean))];
  const charts = series.map((name) => seriesCard(run.scenarios.filter((scenario) => scenario.series === name)));
  $("#latest").replaceChildren(...run.scenarios.map(scenarioCard), ...charts.filter(Boolean));
}

function pick(scenario, figure) {
  return (run) => (run.scenarios.find((found) => found.name === scenario)?.contenders ?? []).map((contender) => [contender.name, contender[figure]]);
}
