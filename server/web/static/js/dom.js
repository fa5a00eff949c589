// Elements from data: text is always text, never markup.

export function $(selector, root = document) {
  return root.querySelector(selector);
}

export function testid(name, root = document) {
  return root.querySelector(`[data-testid="${name}"]`);
}

/** An element with attributes and children; strings become text. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Show a message, or hide its element without one. */
export function say(element, text) {
  element.textContent = text ?? "";
  element.hidden = !text;
}

/** Set text only where it changed, so that selections and screen readers are left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Fetch this page again and put the parts with these ids in place of the ones shown, where they differ.
 * The markup is the server's own rendering, the same that a reload would show. Returns the new document.
 */
export async function refresh(ids, url = location.href) {
  const answer = await fetch(url, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!answer.ok || answer.redirected) throw new Error(`the page answered ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ids) {
    const now = document.getElementById(id);
    const next = page.getElementById(id);
    if (!now || !next) continue;
    const fresh = document.adoptNode(next);
    localTimes(fresh);
    if (now.isEqualNode(fresh)) continue;
    const focused = now.contains(document.activeElement) ? document.activeElement : null;
    const again = focused && (focused.dataset.testid || focused.getAttribute("href"));
    now.replaceWith(fresh);
    if (again) {
      const target = [...fresh.querySelectorAll("a, button, summary")].find(
        (one) => one.dataset.testid === focused.dataset.testid && one.getAttribute("href") === focused.getAttribute("href"),
      );
      target?.focus({ preventScroll: true });
    }
  }
  return page;
}

const dayAndTime = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });

/** Show instants in this browser's zone; the title keeps them in UTC. */
export function localTimes(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    setText(element, dayAndTime.format(new Date(element.dateTime)));
  }
}
