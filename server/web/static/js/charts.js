// Charts by Lightweight Charts, in this page's colours. Its logo is off, since that would put a style element into
// the page, which the content security policy forbids; the footer names its maker instead.

import {
  BaselineSeries, CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, createChart, createSeriesMarkers,
} from "../vendor/lightweight-charts/lightweight-charts.js";

/** The colour of a custom property as it is now; names such as light-dark() are worked out. */
export function colour(name, alpha = 1) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  const parts = found.match(/[\d.]+/g).slice(0, 3);
  return `rgba(${parts.join(", ")}, ${alpha})`;
}

function look() {
  return {
    autoSize: true,
    layout: {
      background: { type: ColorType.Solid, color: "transparent" },
      textColor: colour("dim"),
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
      fontSize: 11,
      attributionLogo: false,
    },
    grid: { vertLines: { visible: false }, horzLines: { color: colour("line", 0.7) } },
    rightPriceScale: { borderColor: colour("line"), entireTextOnly: true, scaleMargins: { top: 0.08, bottom: 0.08 } },
    timeScale: { borderColor: colour("line"), timeVisible: false, minBarSpacing: 0.01 },
    crosshair: { mode: CrosshairMode.Magnet, vertLine: { color: colour("edge"), labelBackgroundColor: colour("edge") }, horzLine: { color: colour("edge"), labelBackgroundColor: colour("edge") } },
    localization: { locale: "en-US" },
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
    handleScale: { mouseWheel: false },
  };
}

/**
 * An equity curve, green above where it began and red below; `onPoint` receives the day and value under the pointer,
 * else the last ones. `update` draws other days and values in its place.
 */
export function drawEquity(element, dates, values, onPoint) {
  const chart = createChart(element, look());
  const series = chart.addSeries(BaselineSeries, {
    baseValue: { type: "price", price: values[0] }, lineWidth: 2, priceLineVisible: false, priceFormat: { type: "custom", minMove: 0.01, formatter: dollars },
  });
  const paint = () => {
    chart.applyOptions(look());
    series.applyOptions({
      topLineColor: colour("present"), topFillColor1: colour("present", 0.25), topFillColor2: colour("present", 0.03),
      bottomLineColor: colour("bad"), bottomFillColor1: colour("bad", 0.03), bottomFillColor2: colour("bad", 0.22),
    });
  };
  const show = fit(chart, 0.045);
  const last = () => onPoint(dates.at(-1), values.at(-1));
  const update = (newDates, newValues) => {
    [dates, values] = [newDates, newValues];
    series.applyOptions({ baseValue: { type: "price", price: values[0] } });
    series.setData(dates.map((day, place) => ({ time: day, value: values[place] })));
    show(dates.length);
    last();
  };
  paint();
  chart.subscribeCrosshairMove((at) => {
    const point = at.time ? at.seriesData.get(series) : null;
    if (point) onPoint(String(at.time), point.value);
    else last();
  });
  update(dates, values);
  return { ...watched(chart, paint), update };
}

/** Candlesticks with volume; times are shown as New York's clocks do. `marks` are events by day, for daily bars. */
export function drawCandles(element, bars, daily, marks = []) {
  const chart = createChart(element, look());
  const candles = chart.addSeries(CandlestickSeries, { priceLineVisible: false });
  const volume = chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false });
  chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.8, bottom: 0 } });
  const times = bars.time.map(daily ? newYorkDay : newYorkSeconds);
  const marked = daily ? marks.filter(({ day }) => times.includes(day)) : [];
  const pins = marked.length ? createSeriesMarkers(candles, []) : null;
  const paint = () => {
    const up = colour("present");
    const down = colour("bad");
    chart.applyOptions({ ...look(), rightPriceScale: { borderColor: colour("line"), entireTextOnly: true, scaleMargins: { top: 0.06, bottom: 0.24 } } });
    chart.timeScale().applyOptions({ timeVisible: !daily, secondsVisible: false });
    candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false });
    volume.applyOptions({ color: colour("edge", 0.45) });
    pins?.setMarkers(marked.map(({ day, kind, text }) => ({
      time: day, position: "aboveBar", shape: kind === "split" ? "arrowDown" : "circle", color: colour({ split: "accent", doubt: "bad" }[kind] ?? "dim"), text, size: 0.8,
    })));
  };
  paint();
  candles.setData(times.map((time, n) => ({ time, open: bars.open[n], high: bars.high[n], low: bars.low[n], close: bars.close[n] })));
  volume.setData(times.map((time, n) => ({ time, value: bars.volume[n] })));
  fit(chart, 0.08)(times.length);
  return watched(chart, paint);
}

/**
 * Keeps all points in sight, with space for the first and last label: also once the chart has its size, and when that
 * changes. Returns a function that takes the number of points.
 */
function fit(chart, share) {
  const scale = chart.timeScale();
  let count = 0;
  const show = () => {
    const margin = Math.max(0.6, count * share);
    if (count) scale.setVisibleLogicalRange({ from: -margin, to: count - 1 + margin });
  };
  scale.subscribeSizeChange(show);
  return (points) => {
    count = points;
    show();
  };
}

const dollars = (value) => value.toLocaleString("en-US", { maximumFractionDigits: Math.abs(value) < 1000 ? 2 : 0 });

function watched(chart, paint) {
  document.addEventListener("themechange", paint);
  return {
    remove() {
      document.removeEventListener("themechange", paint);
      chart.remove();
    },
  };
}

const newYork = new Intl.DateTimeFormat("en-US", {
  timeZone: "America/New_York", year: "numeric", month: "numeric", day: "numeric",
  hour: "numeric", minute: "numeric", second: "numeric", hourCycle: "h23",
});

function clockOf(milliseconds) {
  const parts = {};
  for (const { type, value } of newYork.formatToParts(milliseconds)) parts[type] = Number(value);
  return parts;
}

/** The chart shows seconds as UTC; these make it show New York's clock. One offset holds for a whole day's session. */
let offsetAt = { day: null, offset: 0 };

function newYorkSeconds(milliseconds) {
  const day = Math.floor(milliseconds / 14_400_000);
  if (offsetAt.day !== day) {
    const at = clockOf(milliseconds);
    const shown = Date.UTC(at.year, at.month - 1, at.day, at.hour, at.minute, at.second);
    offsetAt = { day, offset: shown - Math.floor(milliseconds / 1000) * 1000 };
  }
  return Math.floor((milliseconds + offsetAt.offset) / 1000);
}

function newYorkDay(milliseconds) {
  const at = clockOf(milliseconds);
  return `${at.year}-${String(at.month).padStart(2, "0")}-${String(at.day).padStart(2, "0")}`;
}

/** When a bar began, as New York's clocks showed it: 09:30. */
export function newYorkTime(milliseconds) {
  const at = clockOf(milliseconds);
  return `${String(at.hour).padStart(2, "0")}:${String(at.minute).padStart(2, "0")}`;
}
