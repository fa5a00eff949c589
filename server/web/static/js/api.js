// The JSON API and its event streams.

export class Refused extends Error {
  constructor(status, code, message, facts) {
    super(message);
    Object.assign(this, { status, code, facts });
  }
}

async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}) },
      body: body ? JSON.stringify(body) : undefined,
      cache: "no-store",
    });
  } catch {
    throw new Refused(0, "unreachable", "The server does not answer. Is it still running?", {});
  }
  let content = null;
  try { content = await answer.json(); } catch { /* no JSON: reported below */ }
  if (answer.ok && content !== null) return content;
  const error = content?.error ?? {};
  throw new Refused(answer.status, error.code ?? "unknown", error.message ?? `The server answered ${answer.status}.`, error.facts ?? {});
}

export const get = (path) => call("GET", path);
export const post = (path, body) => call("POST", path, body);
export const remove = (path) => call("DELETE", path);

export function query(values) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one) found.append(name, one);
  }
  return found.toString();
}

/**
 * Follow a job's events from the first one to its end, each once and in order.
 * The browser resumes a stream that breaks; a stream that was refused is opened again.
 */
export function follow(path, { onEvent, onEnd, onState = () => {} }) {
  let last = 0;
  let source = null;
  let stopped = false;
  let timer = 0;

  function open() {
    source = new EventSource(path);
    source.onopen = () => onState("live");
    source.onmessage = (message) => {
      const number = Number(message.lastEventId);
      if (number && number <= last) return;
      last = number || last;
      onEvent(JSON.parse(message.data), number);
    };
    source.addEventListener("end", () => { stop(); onState("ended"); onEnd(); });
    source.onerror = () => {
      if (stopped) return;
      onState("lost");
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, 2000);
    };
  }

  function stop() {
    stopped = true;
    clearTimeout(timer);
    source?.close();
  }

  open();
  addEventListener("pagehide", stop);
  return stop;
}
