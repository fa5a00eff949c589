// The log: a limited number of lines, scrolled to its end unless the reader has scrolled up.

import { h } from "./dom.js";
import { timeOfDay } from "./format.js";

const MOST = 2000;
const LEVELS = { DEBUG: 0, INFO: 1, SUCCESS: 1, WARNING: 2, ERROR: 3, CRITICAL: 3 };

export class Log {
  constructor(list, chooser) {
    this.list = list;
    this.chooser = chooser;
    this.lines = [];
    chooser.addEventListener("change", () => this.redraw());
  }

  add(events) {
    const lines = events.map(lineOf).filter(Boolean);
    this.lines.push(...lines);
    if (this.lines.length > MOST) this.lines.splice(0, this.lines.length - MOST);
    this.draw(lines);
  }

  redraw() {
    this.list.replaceChildren();
    this.draw(this.lines);
  }

  draw(lines) {
    const list = this.list;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 24;
    const least = Number(this.chooser.value);
    list.append(...lines.filter((line) => line.level >= least).map(element));
    while (list.childElementCount > MOST) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
}

function lineOf(event) {
  if (event.kind === "state") return { at: event.at, name: "INFO", level: 1, text: `the job is ${event.state}` };
  if (!event.text || event.kind === "engine_progress") return null; // progress is drawn
  return { at: event.at, name: event.level, level: LEVELS[event.level] ?? 1, text: event.text };
}

function element(line) {
  const at = line.at ? new Date(line.at) : null;
  const time = at
    ? h("time", { datetime: at.toISOString(), title: at.toISOString() }, `${timeOfDay(at)}.${String(at.getMilliseconds()).padStart(3, "0")}`)
    : h("span");
  return h("li", { class: line.name, "data-level": line.name }, time, h("span", {}, line.text));
}
