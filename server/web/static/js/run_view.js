// How far the engine is, drawn: day, share, equity, orders, and the curve so far, which grows.

import { $, setText } from "./dom.js";
import { money, number } from "./format.js";

let drawn = 0;
let curve = null;
let loading = null;

export function drawRun(run, over) {
  const place = $("#run");
  if (!place) return;
  if (over) {
    curve?.remove();
    curve = null;
    place.remove();
    return;
  }
  if (!run || run.version === drawn) return;
  drawn = run.version;
  place.hidden = false;
  setText($("#run-day"), run.day ?? "–");
  setText($("#run-done"), run.fraction === null ? "–" : `${Math.round(100 * run.fraction)} %`);
  setText($("#run-equity"), run.values.length ? money(run.values.at(-1)) : "–");
  setText($("#run-orders"), run.orders === null ? "–" : number(run.orders));
  const bar = $("#run-progress");
  if (run.fraction === null) bar.removeAttribute("value");
  else bar.value = run.fraction;
  drawCurve(run);
}

async function drawCurve(run) {
  const { dates, values } = run;
  if (!dates.length) return;
  const place = $("#run-curve");
  place.setAttribute("aria-label", `Equity curve so far, from ${money(values[0])} on ${dates[0]} to ${money(values.at(-1))} on ${dates.at(-1)}`);
  if (curve) {
    curve.update(dates, values);
    return;
  }
  loading ??= import("./charts.js");
  const { drawEquity } = await loading;
  if (!place.isConnected || run.version !== drawn || curve) return; // the run ended, or a newer curve is drawn
  curve = drawEquity(place, dates, values, () => {});
}
