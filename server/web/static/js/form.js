// The form for a new backtest: it knows the projects and the trading calendar.

import { post, query } from "./api.js";
import { h, say, setText, testid } from "./dom.js";
import { count, symbolsOf, wrongSymbol } from "./format.js";

const TWO_YEARS_MS = 2 * 366 * 86_400_000;

export async function setUpForm(form, get) {
  const fields = form.elements;
  const hint = testid("project-hint", form);
  const button = testid("start-backtest", form);
  const refusal = testid("form-error", form);
  const projects = new Map();

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  fields.project.addEventListener("change", fromProject);
  for (const name of ["start", "end"]) fields[name].addEventListener("change", () => sessions(form, get));
  for (const name of ["symbols", "start", "end"]) fields[name].addEventListener("input", () => say(refusal, null));
  button.disabled = false;

  try {
    for (const project of (await get("/api/projects")).projects) {
      projects.set(project.name, project);
      fields.project.append(h("option", { value: project.name }, project.name));
    }
  } catch (error) {
    say(refusal, error.message);
  }
  if (!fields.symbols.value) fields.project.value = [...projects.values()].find((project) => !project.problem)?.name ?? "";
  fromProject();

  function fromProject() {
    const project = projects.get(fields.project.value);
    say(refusal, null);
    hint.className = project?.problem ? "hint bad" : "hint";
    if (!project) {
      setText(hint, "Without a project the smoke test reads the data and holds equal parts.");
      return;
    }
    setText(hint, project.problem ?? "Symbols and days are from the project's parameters; change them here for this run.");
    if (project.symbols) fields.symbols.value = project.symbols.join(", ");
    if (project.resolution) fields.resolution.value = project.resolution;
    if (project.start) fields.start.value = project.start;
    if (project.end) fields.end.value = project.end;
    sessions(form, get);
  }

  async function start() {
    const symbols = symbolsOf(fields.symbols.value);
    const project = fields.project.value || null;
    if (!symbols.length && !project) {
      say(refusal, "Name at least one symbol, or pick a project.");
      fields.symbols.focus();
      return;
    }
    const wrong = wrongSymbol(symbols);
    if (wrong) {
      say(refusal, wrong);
      fields.symbols.focus();
      return;
    }
    if (fields.end.value < fields.start.value) {
      say(refusal, "The last day lies before the first.");
      fields.end.focus();
      return;
    }
    const asked = {
      resolution: fields.resolution.value, start: fields.start.value, end: fields.end.value,
      ...(project && { project }), ...(symbols.length && { symbols }),
      ...(fields.provider.value && { provider: fields.provider.value }),
      ...(fields.engine.value && { engine: fields.engine.value }),
      fill: fields.fill.checked, allow_damaged: fields.allow_damaged.checked,
    };
    button.disabled = true;
    try {
      const { id } = await post("/api/backtests", asked);
      location.assign(`/backtests/${encodeURIComponent(id)}`);
    } catch (error) {
      say(refusal, error.message);
      button.disabled = false;
    }
  }
}

/** Say how many sessions the chosen days hold. */
async function sessions(form, get) {
  const { start, end } = form.elements;
  const hint = testid("sessions-hint", form);
  if (!start.value || !end.value || end.value < start.value) {
    setText(hint, "");
    return;
  }
  const days = (Date.parse(end.value) - Date.parse(start.value)) / 86_400_000 + 1;
  if (days * 86_400_000 > TWO_YEARS_MS) {
    setText(hint, `About ${count(Math.round(days * 252 / 365.25), "session")}.`);
    return;
  }
  const asked = `${start.value} ${end.value}`;
  try {
    const { sessions: found } = await get(`/api/calendar?${query({ start: start.value, end: end.value })}`);
    if (asked !== `${start.value} ${end.value}`) return; // changed meanwhile
    setText(hint, found.length ? `${count(found.length, "session")}, ${found[0]} to ${found.at(-1)}.` : "No session: the exchange is closed on all of these days.");
  } catch (error) {
    setText(hint, error.message);
  }
}
