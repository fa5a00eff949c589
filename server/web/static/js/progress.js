// From a job's events to how far it is. Pure: counts in events are increments, so this only ever adds.
// A backtest in LEAN has several downloads, one after another: that of its request, the benchmark's, and those of rounds.

const COUNTS = ["bars", "bytes", "api_calls", "cache_hits", "retries"];

export function newProgress(symbols = []) {
  return {
    state: "", phase: "", phases: {}, provider: "", requested: 0, present: 0, started: false, finished: false,
    wait: null, series: new Map(), bars: 0, bytes: 0, api_calls: 0, cache_hits: 0, retries: 0, done: 0,
    symbols, resolution: "", download: 0, downloading: false, first: { requested: 0, missing: 0 },
    run: null,
  };
}

/** A series of a job; `first` says whether it is part of the first download, whose symbols all have the same days. */
function newSeries(symbol, resolution, first) {
  return {
    symbol, resolution, first, missing: null, all: 0, download: -1,
    downloaded: 0, provisional: 0, empty: 0, provider: "", fallback: "",
    bars: 0, bytes: 0, api_calls: 0, cache_hits: 0, retries: 0,
  };
}

export const fetched = (series) => series.downloaded + series.provisional + series.empty;

/** Number of a series' days on disk before; of one without an event of its gap all, once all gaps are known. */
export function presentBefore(progress, series) {
  if (!series.first) return 0;
  const each = daysEach(progress);
  if (series.missing !== null) return Math.max(0, each - series.missing);
  const known = ofFirst(progress).reduce((sum, one) => sum + (one.missing ?? 0), 0);
  return known >= progress.first.missing ? each : 0;
}

/** Number of days requested of a series; days that a later download requests again count once. */
export function daysOf(progress, series) {
  return Math.max(series.first ? daysEach(progress) : 0, series.all);
}

/** Number of days that the first download requests of each symbol; the same for all. */
function daysEach(progress) {
  return Math.round(progress.first.requested / Math.max(1, ofFirst(progress).length));
}

const ofFirst = (progress) => [...progress.series.values()].filter((one) => one.first);

export function apply(progress, event) {
  const resolution = event.resolution || progress.resolution; // none between downloads
  const series = event.symbol && resolution ? seriesOf(progress, event.symbol, resolution) : null;
  for (const name of COUNTS) {
    const more = event[name] ?? 0;
    progress[name] += more;
    if (series) series[name] += more;
  }
  KINDS[event.kind]?.(progress, event, series);
  return progress;
}

const KINDS = {
  state(progress, event) {
    progress.state = event.state;
    if (event.state !== "running") progress.wait = null;
  },
  phase(progress, event) {
    progress.phase = event.phase;
    progress.phases[event.phase] = event.at;
    progress.wait = null;
  },
  engine_progress(progress, { progress: reached }) {
    progress.run = reached ? grown(progress.run, reached) : progress.run;
  },
  started(progress, event) {
    const present = event.days_present ?? 0, missing = event.days ?? 0;
    progress.started = progress.downloading = true;
    progress.provider = event.provider ?? "";
    progress.resolution = event.resolution ?? "";
    progress.present += present;
    progress.requested += missing + present;
    if (progress.download) return;
    progress.first = { requested: missing + present, missing };
    for (const symbol of progress.symbols) seriesOf(progress, symbol, progress.resolution);
  },
  symbol(progress, event, series) {
    const days = event.days ?? 0;
    if (series.download === progress.download) {
      if (event.provider !== series.provider) series.fallback = event.provider;
    } else {
      if (progress.download) series.all = Math.max(daysOf(progress, series), presentBefore(progress, series) + fetched(series) + days);
      else series.missing = days;
      series.download = progress.download;
      series.provider = event.provider ?? "";
    }
    if (progress.wait && !progress.wait.until) progress.wait = null; // the run that held it is done
  },
  days(progress, event, series) {
    const days = event.days ?? 0;
    progress.done += days;
    if (series && event.outcome in series) series[event.outcome] += days;
  },
  retry(progress, event) {
    hold(progress, event, "tries again");
  },
  wait(progress, event) {
    hold(progress, event, "goes on");
  },
  finished(progress) {
    progress.finished = true;
    progress.downloading = false;
    progress.download += 1;
    progress.resolution = "";
    progress.wait = null;
  },
};

/** How far the engine is: the days of an event replace the curve from the first of them on. */
function grown(before, { day, fraction, orders, equity }) {
  const dates = before?.dates ?? [], values = before?.values ?? [];
  const first = equity?.dates[0];
  if (first) {
    let kept = dates.length;
    while (kept && dates[kept - 1] >= first) kept -= 1;
    dates.splice(kept, Infinity, ...equity.dates);
    values.splice(kept, Infinity, ...equity.values);
  }
  return { day, fraction: fraction ?? null, orders: orders ?? null, dates, values, version: (before?.version ?? 0) + 1 };
}

function seriesOf(progress, symbol, resolution) {
  const key = `${symbol} ${resolution}`;
  if (!progress.series.has(key)) progress.series.set(key, newSeries(symbol, resolution, !progress.download));
  return progress.series.get(key);
}

/** Several workers may wait at once: the longest wait is shown, until it ends. */
function hold(progress, event, then) {
  const seconds = event.wait_seconds ?? 0;
  const why = event.message ?? "";
  const until = seconds ? new Date(Date.parse(event.at) + seconds * 1000) : null;
  if (until && progress.wait?.until > until) return;
  progress.wait = { why: why.charAt(0).toUpperCase() + why.slice(1), then, until };
}
