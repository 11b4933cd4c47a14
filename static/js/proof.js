// The proof pages: "Sync now" with live progress, sections that renew themselves.
// Everything here works without it too: forms post and lead back, pages reload.
import { forgetFragment, readFragment } from "./fragment.js";
import "./page.js";

const API = "/api/v1/reconciliation";
const LOOK_EVERY = 500;
const GIVE_UP_AFTER = 5 * 60 * 1000;
const RENEW_EVERY = 10000;
const result = document.querySelector("[data-sync-result]");
const holder = document.querySelector("[data-sections]");
let following = 0; // syncs under way: what they show is not renewed away

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-sync]")) return;
  event.preventDefault();
  sync(form);
});

async function sync(form) {
  const button = form.querySelector("button[type=submit]");
  const account = form.elements.account?.value;
  button.disabled = true;
  following += 1;
  announce("Asking the venues…");
  try {
    const begun = await call("/sync", account ? { accounts: [Number(account)] } : {}, form);
    const runs = begun.runs.filter((one) => one.run_id !== null);
    const paused = begun.runs.filter((one) => one.run_id === null);
    const ended = await Promise.all(runs.map((one) => follow(one.run_id, one.account_id)));
    announce(summary(ended, paused));
  } catch (problem) {
    announce(`Not done: ${problem.message}`, "watch");
  } finally {
    following -= 1;
    button.disabled = false;
    await renew({ asked: true });
  }
}

async function call(path, body, form) {
  const options = body && {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
      "Idempotency-Key": crypto.randomUUID?.() ?? String(Math.random()),
    },
    body: JSON.stringify(body),
  };
  const answer = await fetch(API + path, options ?? {});
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `the server answered ${answer.status}`);
  }
  return answer.json();
}

/** Show what a run does until it has ended; returns its certificate. */
async function follow(id, account) {
  const until = Date.now() + GIVE_UP_AFTER;
  for (;;) {
    const run = await call(`/runs/${id}`);
    const cell = document.querySelector(`tr[data-account="${account}"] [data-step]`);
    if (cell && run.state === "running") {
      cell.setAttribute("data-live", "");
      if (run.step) cell.textContent = `${capital(run.step)}…`;
    }
    if (run.state !== "running") return run;
    if (Date.now() > until) throw new Error("the run does not end: is a worker running?");
    await new Promise((done) => { setTimeout(done, LOOK_EVERY); });
  }
}

function summary(runs, paused) {
  const unread = runs.filter((run) => run.state === "failed");
  const lines = runs.flatMap((run) => [...run.legs, ...run.balances]);
  const off = lines.filter((line) => line.differences.some((one) => one.drift)).length;
  const parts = [`Compared ${plural(lines.length, "leg or balance", "legs and balances")}`];
  parts.push(off ? `${off} ${off === 1 ? "differs" : "differ"}` : "no difference");
  if (unread.length) parts.push(`${plural(unread.length, "account", "accounts")} could not be read`);
  if (paused.length) parts.push(`${plural(paused.length, "account", "accounts")} left out: ${paused[0].reason}`);
  return `${parts.join("; ")}.`;
}

const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function announce(text, level) {
  result.hidden = false;
  result.textContent = text;
  if (level) result.dataset.level = level;
  else delete result.dataset.level;
}

/**
 * Read the sections again and put them in, unless somebody is busy in one: nothing moves under a pointer. `asked`: somebody
 * waits for it.
 */
async function renew({ asked = false } = {}) {
  if (!holder || following || document.hidden) return;
  const url = holder.dataset.sections;
  const fresh = await readFragment(url);
  if (!fresh) return;
  for (const section of holder.querySelectorAll("[data-section]")) {
    const open = section.querySelector("details[open]");
    const busy = open || section.contains(document.activeElement) || section.matches(":hover");
    if (following || (busy && (open || !asked))) forgetFragment(url); // left as it is, and read whole the next time
    else section.innerHTML = fresh.querySelector(`[data-section="${section.dataset.section}"]`).innerHTML;
  }
}

if (holder) setInterval(() => renew(), RENEW_EVERY);
const running = document.querySelector(".notice[data-run]");
if (running) follow(running.dataset.run, 0).then(() => location.reload(), () => {});
