// What a symbol's factor file, map file and file of daily bars say: a sentence, the splits and dividends of its days, their marks in the calendar.

import { $, h } from "./dom.js";
import { count, number } from "./format.js";

const OPEN_UP_TO = 6; // number of events shown before the list is opened

/** The events and doubts of a symbol's days, by day. */
export function eventsOf(found) {
  const events = new Map((found.factor_file?.events ?? []).map((event) => [event.day, event]));
  for (const doubt of found.doubts ?? []) {
    const event = events.get(doubt.day) ?? { day: doubt.day, split: null, dividend: null };
    events.set(doubt.day, { ...event, doubts: [...(event.doubts ?? []), doubt] });
  }
  return events;
}

/** In words: split 4:1, dividend $0.82, doubtful: what does not fit. */
export function wordsOf(event) {
  const words = [];
  if (event.split) words.push(`split ${event.split}`);
  if (event.dividend !== null) words.push(`dividend $${event.dividend.toFixed(2)}`);
  for (const doubt of event.doubts ?? []) words.push(`${doubt.accepted ? "accepted doubt" : "doubtful"}: ${doubt.message}`);
  return words.join(", ");
}

/** Which mark its day has. */
export function kindOf(event) {
  if (event.doubts?.some((doubt) => !doubt.accepted)) return "doubt";
  return event.split ? "split" : "dividend";
}

/** The text of its mark in a chart. */
export function shortOf(event) {
  if (kindOf(event) === "doubt") return "?";
  return event.split ?? (event.dividend === null ? "?" : `$${event.dividend.toFixed(2)}`);
}

/** Show them in a symbol's block: the sentence and the list. True if they are others than before. */
export function showFiles(block, found) {
  const signature = JSON.stringify([found.factor_file, found.map_file, found.doubts, found.other_holders, found.daily_bars]);
  const place = $(".files", block);
  if (place.dataset.signature === signature) return false;
  place.dataset.signature = signature;
  const events = [...eventsOf(found).values()].sort((one, other) => one.day.localeCompare(other.day));
  const wrong = Boolean(found.factor_file?.damaged || found.map_file?.damaged);
  place.replaceChildren(
    h("p", { "data-testid": "files", class: wrong ? "wrong" : null }, `${factors(found.factor_file)} ${tickers(found.map_file)}`),
    ...(found.daily_bars ?? []).map((one) => h("p", { "data-testid": "daily-kind", "data-kind": one.kind, class: one.kind === "mixed" ? "warn" : null }, dailyKind(one))),
    ...(found.other_holders ?? []).map((one) => h("p", { "data-testid": "other-holder" }, holder(one))),
    events.length ? list(events) : "",
  );
  return true;
}

function list(events) {
  return h("details", { "data-testid": "events", open: events.length <= OPEN_UP_TO },
    h("summary", {}, `${counts(events)} in these days`),
    h("ul", { class: "events" }, ...events.map((event) => h("li", {},
      h("span", { class: `mark has-${kindOf(event)}`, "aria-hidden": "true" }),
      h("time", { class: "num", datetime: `${event.day}` }, event.day), ` ${wordsOf(event)}`))));
}

/** Which kind of daily bars a file holds, in the words of the setting; of a mixed file the number of each kind. */
function dailyKind({ kind, rows, path }) {
  const each = Object.entries(rows).map(([name, days]) => `${number(days)} ${name}`).join(", ");
  return `Daily bars in ${path.split("/").at(-1)}: ${kind}${kind === "mixed" ? ` (${each})` : ""}.`;
}

function counts(events) {
  const splits = events.filter((event) => event.split).length;
  const dividends = events.filter((event) => event.dividend !== null).length;
  const doubts = events.reduce((sum, event) => sum + (event.doubts?.length ?? 0), 0);
  const named = [splits && count(splits, "split"), dividends && count(dividends, "dividend"), doubts && count(doubts, "doubt")];
  return named.filter(Boolean).join(" and ");
}

function holder(one) {
  return `Bars of ${one.ticker} from ${one.first_day} to ${one.last_day} belong to another holder of the ticker (${one.name || "another company"}).`;
}

function factors(file) {
  if (!file) return "No factor file: LEAN takes prices as traded.";
  if (file.damaged) return `Factor file damaged: ${file.damaged}.`;
  if (!file.first_day) return "Factor file without rows: LEAN takes prices as traded.";
  const last = file.last_event ? `, the newest on ${file.last_event}` : "";
  return `Factor file from ${file.first_day}: ${count(file.splits, "split")}, ${count(file.dividends, "dividend")}${last}.`;
}

function tickers(file) {
  if (!file) return "No map file.";
  if (file.damaged) return `Map file damaged: ${file.damaged}.`;
  if (!file.tickers.length) return "Map file without rows.";
  const names = file.tickers.map((one) => `${one.ticker} from ${one.first_day}`).join(", ");
  return `Map file: ${names}${file.delisted ? `, until ${file.delisted}` : ""}.`;
}
