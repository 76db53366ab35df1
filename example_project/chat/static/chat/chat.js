// The chat without page loads: sends a message, shows the answer as it comes, then the budget as it is now.
// Without this script the form posts itself and the page comes back with the answer.

const form = document.getElementById("ask");
const field = document.getElementById("question");
const send = document.getElementById("send");
const stop = document.getElementById("stop");
const notice = document.getElementById("notice");
const conversation = document.getElementById("conversation");
const budget = document.getElementById("budget");

const MOST_ROWS = 6;
const NOTICED = 500; // milliseconds

let refreshes = 0;
let sending = null; // the AbortController of the answer that is coming

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!sending && field.value.trim()) ask();
});

field.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

field.addEventListener("input", fit);
stop.addEventListener("click", () => sending?.abort());
fit();
toEnd();
form.dataset.ready = ""; // for tests

async function ask() {
  const body = new FormData(form);
  const question = field.value.trim();
  sending = new AbortController();
  setBusy(true);
  notice.hidden = true;
  let exchange = null;
  try {
    const response = await fetch(form.dataset.stream, {
      method: "POST",
      body,
      headers: { Accept: "application/x-ndjson, application/problem+json" },
      signal: sending.signal,
    });
    if (response.redirected) {
      location.assign(response.url); // logged out meanwhile
    } else if (!response.ok) {
      await showRefusal(response);
    } else {
      exchange = show(question);
      field.value = "";
      fit();
      refresh(); // it shows what is set aside
      await receive(response.body, exchange);
    }
  } catch (error) {
    await showBreak(error, exchange);
  } finally {
    exchange?.removeAttribute("aria-busy");
    sending = null;
    setBusy(false);
    field.focus();
  }
  await refresh();
}

async function receive(stream, exchange) {
  const answer = part(exchange, "answer");
  for await (const event of events(stream)) {
    if (event.text !== undefined) {
      const follow = isAtEnd();
      answer.append(event.text);
      if (follow) toEnd();
    } else if (event.cost !== undefined) {
      part(exchange, "cost").textContent = text("cost", { cost: dollars(event.cost) });
    } else if (event.problem !== undefined) {
      tell({ title: text("no-answer"), detail: event.problem });
      if (!answer.textContent) exchange.remove();
    }
  }
}

// The events of a stream: one JSON object on each line.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) yield JSON.parse(line);
  }
}

// What the budget refused, or could not check: problem details (RFC 9457).
async function showRefusal(response) {
  if (!response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    return tell({ title: text("no-answer"), detail: text("reload") });
  }
  const problem = await response.json();
  const has = problem.remaining_usd && Number(problem.limit_usd);
  tell({
    title: problem.title,
    detail: problem.detail,
    figures: has ? text("figures", {
      remaining: dollars(rounded(problem.remaining_usd, Math.floor)),
      limit: dollars(problem.limit_usd),
      requested: dollars(rounded(problem.requested_usd, Math.ceil)),
    }) : "",
    reset: whenAgain(problem),
    reference: problem.reference ? text("reference", problem) : "",
  });
}

// When to try again, in the visitor's own time. Without an instant the budget could not be checked.
function whenAgain({ resets_at: instant, retry_after: seconds }) {
  if (!seconds) return ""; // waiting does not help
  const when = fromNow(seconds);
  if (!instant) return text("again", { when });
  const format = new Intl.DateTimeFormat("en", { weekday: "long", hour: "2-digit", minute: "2-digit" });
  return text("reset", { when, time: format.format(new Date(instant)) });
}

function fromNow(seconds) {
  const format = new Intl.RelativeTimeFormat("en");
  if (seconds < 90) return format.format(seconds, "second");
  if (seconds < 5400) return format.format(Math.round(seconds / 60), "minute");
  if (seconds < 129600) return format.format(Math.round(seconds / 3600), "hour");
  return format.format(Math.round(seconds / 86400), "day");
}

async function showBreak(error, exchange) {
  const stopped = error.name === "AbortError";
  if (exchange) part(exchange, "cost").textContent = text(stopped ? "stopped" : "broken");
  else if (!stopped) tell({ title: text("no-answer"), detail: text("offline") });
  await new Promise((resume) => setTimeout(resume, NOTICED)); // the server has to notice, and to book the cost
}

// Show the budget as it is now.
async function refresh() {
  const asked = ++refreshes;
  try {
    const response = await fetch(budget.dataset.url);
    if (!response.ok || response.redirected) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (asked === refreshes) budget.replaceChildren(...page.body.childNodes); // else a later answer was faster
  } catch {
    // it stays as it was
  }
}

function tell(parts) {
  const follow = isAtEnd();
  for (const name of ["title", "detail", "figures", "reset", "reference"]) {
    const element = part(notice, name);
    element.textContent = parts[name] ?? "";
    element.hidden = !element.textContent;
  }
  notice.hidden = false;
  if (follow) toEnd();
}

function show(question) {
  const exchange = document.getElementById("exchange").content.firstElementChild.cloneNode(true);
  part(exchange, "question").textContent = question;
  exchange.setAttribute("aria-busy", "true"); // read out once, when it is complete
  document.getElementById("welcome").hidden = true;
  conversation.append(exchange);
  toEnd();
  return exchange;
}

function setBusy(busy) {
  send.hidden = busy;
  stop.hidden = !busy;
}

function fit() {
  field.rows = 1;
  while (field.rows < MOST_ROWS && field.scrollHeight > field.clientHeight) field.rows += 1;
}

function isAtEnd() {
  return conversation.scrollHeight - conversation.scrollTop - conversation.clientHeight < 48;
}

function toEnd() {
  conversation.scrollTop = conversation.scrollHeight;
}

function part(element, name) {
  return element.querySelector(`[data-part="${name}"]`);
}

function text(name, values = {}) {
  const texts = document.getElementById("texts").content;
  return texts.querySelector(`[data-text="${name}"]`).textContent.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

// USD as the page shows them: every digit that is not a trailing zero, at least the cents.
function dollars(amount) {
  return `$${Number(amount).toFixed(9).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
}

// An amount to three digits, so that nobody is promised more than there is.
function rounded(amount, round) {
  const scale = 10 ** Math.max(2, 2 - Math.floor(Math.log10(Number(amount) || 1)));
  return round(Number(amount) * scale) / scale;
}
