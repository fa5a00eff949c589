// Figures as the server writes them, too (page_text.py).

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const number = (value) => whole.format(value);

export function size(count) {
  for (const [unit, name] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (count >= unit) return `${(count / unit).toFixed(1)} ${name}`;
  }
  return `${count} B`;
}

export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (seconds < 3600) return `${minutes} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** A length of time that still grows: whole seconds are enough, and do not flicker. */
export function running(seconds) {
  return seconds < 60 ? `${Math.max(0, Math.floor(seconds))} s` : duration(seconds);
}

export const timeOfDay = (date) => clock.format(date);

export const count = (value, word) => `${number(value)} ${word}${value === 1 ? "" : "s"}`;

export function price(value) {
  return value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
}

/** An amount of dollars with cents: $101,234.50. */
export function money(value) {
  return value.toLocaleString("en-US", { style: "currency", currency: "USD" });
}

const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

/** A trading day for people: Tue, 2 Jan 2024. */
export const longDay = (iso) => day.format(new Date(`${iso}T12:00:00Z`));

const SYMBOL = /^[A-Z][A-Z0-9]{0,9}(\.[A-Z0-9]{1,3}){0,2}$/;

/** What is wrong with the first of these that is no symbol, in the server's words; null if all are. */
export function wrongSymbol(symbols) {
  const wrong = symbols.find((symbol) => !SYMBOL.test(symbol));
  if (!wrong) return null;
  const capitals = wrong.toUpperCase(), nearest = capitals.replace(/[-/_]/g, ".");
  const shown = `'${wrong.slice(0, 24)}'`;
  if (SYMBOL.test(capitals)) return `${shown} mixes capitals and lower case; write ${capitals} if you mean that one.`;
  if (SYMBOL.test(nearest)) return `${shown} is not a US equity symbol; did you mean ${nearest}?`;
  return `${shown} is not a US equity symbol; write it as LEAN does, for example SPY or BRK.B.`;
}

/** Symbols as people type them: apart by commas, blanks or semicolons, each once; all lower case becomes capitals. */
export function symbolsOf(text) {
  const typed = text.split(/[\s,;]+/).filter(Boolean);
  return [...new Set(typed.map((symbol) => (symbol === symbol.toLowerCase() ? symbol.toUpperCase() : symbol)))];
}
