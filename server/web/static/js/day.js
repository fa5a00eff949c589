// One day's bars next to the calendar: a candlestick chart and the figures that matter.

import { get, query } from "./api.js";
import { kindOf, shortOf, wordsOf } from "./corporate.js";
import { $, h, say, setText } from "./dom.js";
import { longDay, number, price } from "./format.js";

const CANDLE_WIDTH = 4; // pixels; what does not fit is thinned by the server
const AROUND = 30; // sessions shown before a day of daily bars
const WORDS = {
  missing: "This day is not on disk.",
  empty: "The provider has no bars for this day.",
  damaged: "The file of this day cannot be read; fetching what is missing replaces it.",
};

export class Day {
  constructor(sessionsOf, eventsOf) {
    this.sessionsOf = sessionsOf;
    this.eventsOf = eventsOf;
    this.chart = null;
    this.turn = 0;
    this.place = $("#bars");
    this.text = $("#day-text");
    this.figures = $("#day-figures");
  }

  async show(symbol, day, state, resolution) {
    this.turn += 1;
    const { turn } = this;
    setText($("#day-title"), `${symbol}  ${longDay(day)}`);
    this.clear();
    if (state in WORDS) {
      setText(this.text, WORDS[state]);
      return;
    }
    setText(this.text, "Reading its bars.");
    const daily = resolution === "daily";
    const start = daily ? this.before(symbol, day) : day;
    try {
      const bars = await get(`/api/bars/${encodeURIComponent(symbol)}?${query({ resolution, start, end: day, points: String(this.points()) })}`);
      const charts = bars.time.length ? await import("./charts.js") : null;
      if (turn === this.turn) this.draw(bars, charts, { symbol, day, state, daily, resolution });
    } catch (error) {
      if (turn === this.turn) setText(this.text, error.message);
    }
  }

  draw(bars, charts, { symbol, day, state, daily, resolution }) {
    this.clear();
    const count = bars.time.length;
    const lost = bars.losses.find((one) => one.first_day !== null && one.first_day <= day && day <= one.last_day);
    const loss = lost ? ` Not fed by LEAN: ${lost.reason}.` : "";
    if (!count) {
      setText(this.text, `There are no bars in its file.${loss}`);
      return;
    }
    const thinned = bars.bars_per_point > 1 ? `; each candle merges ${number(bars.bars_per_point)} of them` : "";
    const early = state === "provisional" ? " Provisional: fetched before the day was settled." : "";
    const what = daily ? `${number(count)} daily bars up to this day.` : `${number(bars.bars_total)} ${resolution} bars${thinned}. Times are New York's.`;
    const events = this.eventsOf(symbol);
    const event = events.has(day) ? ` ${events.get(day).doubts ? "On this day" : "Before its open"}: ${wordsOf(events.get(day))}.` : "";
    setText(this.text, what + early + event + loss);
    this.place.hidden = false;
    this.place.setAttribute("aria-label", `Candlesticks of ${$("#day-title").textContent}`);
    const marks = [...events.values()].map((one) => ({ day: one.day, kind: kindOf(one), text: shortOf(one) }));
    this.chart = charts.drawCandles(this.place, bars, daily, marks);
    const from = daily ? count - 1 : 0;
    const sum = (column) => column.slice(from).reduce((total, value) => total + value, 0);
    const rows = {
      Open: price(bars.open[from]), High: price(Math.max(...bars.high.slice(from))), Low: price(Math.min(...bars.low.slice(from))),
      Close: price(bars.close[count - 1]), Change: `${((bars.close[count - 1] / bars.open[from] - 1) * 100).toFixed(2)} %`, Volume: number(sum(bars.volume)),
      ...(daily ? {} : { "First bar": charts.newYorkTime(bars.time[0]), [thinned ? "Last candle" : "Last bar"]: charts.newYorkTime(bars.time[count - 1]) }),
    };
    this.figures.append(...Object.entries(rows).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  points() {
    return Math.max(60, Math.floor((this.place.parentElement.clientWidth - 90) / CANDLE_WIDTH));
  }

  clear() {
    this.chart?.remove();
    this.chart = null;
    this.place.hidden = true;
    this.place.replaceChildren();
    this.figures.replaceChildren();
    say(this.text, " ");
  }

  /** The session some weeks before, so that a daily bar is seen among others. */
  before(symbol, day) {
    const sessions = this.sessionsOf(symbol);
    return sessions[Math.max(0, sessions.indexOf(day) - AROUND)] ?? day;
  }
}
