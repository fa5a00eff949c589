// From a job's events to how far it is. Pure: counts in events are increments, so this only ever adds.

const COUNTS = ["bars", "bytes", "api_calls", "cache_hits", "retries"];

export function newProgress(symbols = []) {
  const progress = {
    state: "", phase: "", phases: {}, provider: "", requested: 0, present: 0, missing: 0, started: false, finished: false,
    wait: null, symbols: new Map(), bars: 0, bytes: 0, api_calls: 0, cache_hits: 0, retries: 0, done: 0,
    run: null,
  };
  for (const symbol of symbols) progress.symbols.set(symbol, newSymbol());
  return progress;
}

function newSymbol() {
  return {
    missing: null, downloaded: 0, provisional: 0, empty: 0, provider: "", fallback: "",
    bars: 0, bytes: 0, api_calls: 0, cache_hits: 0, retries: 0,
  };
}

export const fetched = (symbol) => symbol.downloaded + symbol.provisional + symbol.empty;

/** Number of a symbol's days on disk before; of a symbol without an event of its gap all, once all gaps are known. */
export function presentBefore(progress, symbol) {
  const each = daysEach(progress);
  if (symbol.missing !== null) return Math.max(0, each - symbol.missing);
  const known = [...progress.symbols.values()].reduce((sum, one) => sum + (one.missing ?? 0), 0);
  return known >= progress.missing ? each : 0;
}

/** Number of days requested of each symbol; the same for all. */
export function daysEach(progress) {
  return progress.symbols.size ? Math.round(progress.requested / progress.symbols.size) : 0;
}

export function apply(progress, event) {
  const symbol = event.symbol ? symbolOf(progress, event.symbol) : null;
  for (const name of COUNTS) {
    const more = event[name] ?? 0;
    progress[name] += more;
    if (symbol) symbol[name] += more;
  }
  KINDS[event.kind]?.(progress, event, symbol);
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
    progress.started = true;
    progress.provider = event.provider ?? "";
    progress.present = event.days_present ?? 0;
    progress.missing = event.days ?? 0;
    progress.requested = progress.missing + progress.present;
  },
  symbol(progress, event, symbol) {
    if (symbol.missing === null) {
      symbol.missing = event.days ?? 0;
      symbol.provider = event.provider ?? "";
    } else if (event.provider !== symbol.provider) symbol.fallback = event.provider;
    if (progress.wait && !progress.wait.until) progress.wait = null; // the run that held it is done
  },
  days(progress, event, symbol) {
    const days = event.days ?? 0;
    progress.done += days;
    if (symbol && event.outcome in symbol) symbol[event.outcome] += days;
  },
  retry(progress, event) {
    hold(progress, event, "tries again");
  },
  wait(progress, event) {
    hold(progress, event, "goes on");
  },
  finished(progress) {
    progress.finished = true;
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

function symbolOf(progress, name) {
  if (!progress.symbols.has(name)) progress.symbols.set(name, newSymbol());
  return progress.symbols.get(name);
}

/** Several workers may wait at once: the longest wait is shown, until it ends. */
function hold(progress, event, then) {
  const seconds = event.wait_seconds ?? 0;
  const why = event.message ?? "";
  const until = seconds ? new Date(Date.parse(event.at) + seconds * 1000) : null;
  if (until && progress.wait?.until > until) return;
  progress.wait = { why: why.charAt(0).toUpperCase() + why.slice(1), then, until };
}
