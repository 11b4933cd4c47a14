// Alerts on every page: the banner follows the stream; the alerts page is read again when one changed; a browser
// notification and a sound for whoever asked for them here.
import { forgetFragment, readFragment } from "./fragment.js";
import { write } from "./patch.js";

const SOON = 200; // alerts come together
const FRESH = 60000; // what is older was told before: a page that connects again must not ring
const alarm = document.querySelector("[data-alarm]");
const list = document.querySelector("[data-open-alerts]");
const open = new Map(); // id → title of critical alerts that nobody has seen, the newest last
const known = new Map(); // id → severity, state and whether it was told, as last heard
let soon = null;

for (const one of [...(alarm?.querySelectorAll("[data-id]") ?? [])].reverse()) {
  open.set(Number(one.dataset.id), one.textContent);
}

document.addEventListener("plumbline:frame", ({ detail: frame }) => {
  if (frame.type !== "alert") return;
  const alert = frame.alert;
  const now = `${alert.severity} ${alert.state} ${alert.told} ${alert.explained_by}`;
  const news = known.get(alert.id) !== now;
  known.set(alert.id, now);
  if (alert.severity === "critical" && alert.state === "raised" && !alert.explained_by) {
    if (!open.has(alert.id)) open.set(alert.id, alert.title);
  } else open.delete(alert.id);
  show();
  if (news) announce(alert, now);
  if (list) soon ??= setTimeout(renew, SOON);
});

/** The banner: the newest critical alert, and how many there are. */
function show() {
  const sum = document.querySelector("[data-alarm-sum]");
  if (sum) {
    write(sum, open.size ? String(open.size) : "none");
    sum.parentElement.dataset.level = open.size ? "act" : "";
  }
  if (!alarm) return;
  alarm.hidden = open.size === 0;
  if (!open.size) return;
  const [id, title] = [...open].at(-1);
  write(alarm.querySelector("[data-alarm-count]"), open.size > 1 ? `${open.size} critical alerts` : "Critical");
  write(alarm.querySelector("[data-alarm-title]"), title);
  alarm.querySelector("[data-alarm-link]").href = open.size > 1 ? "/alerts/" : `/alerts/${id}/`;
}

async function renew() {
  soon = null;
  // A form that somebody fills in stays: the next change reads again.
  if (document.hidden || list.querySelector("details[open]")) return forgetFragment(list.dataset.openAlerts);
  const newer = (await readFragment(list.dataset.openAlerts))?.querySelector("body > div");
  if (newer) list.replaceChildren(newer);
}

if (list) document.addEventListener("visibilitychange", renew);

// What this browser is asked to do -----------------------------------------------------------------------------------

const wish = (name) => {
  try { return localStorage.getItem(`plumbline:${name}`) === "on"; } catch { return false; }
};
let sounds = null; // made by a click: browsers let no page sound before

/** Whether no page of this browser has announced it yet: others may be open, or were left just now. */
async function isFirst(alert, now) {
  const look = () => lookFirst(alert, now);
  return navigator.locks ? navigator.locks.request("plumbline:announced", look) : look();
}

function lookFirst(alert, now) {
  try {
    const before = JSON.parse(localStorage.getItem("plumbline:announced") ?? "[]");
    if (before.some(([id, how]) => id === alert.id && how === now)) return false;
    localStorage.setItem("plumbline:announced", JSON.stringify([...before.slice(-99), [alert.id, now]]));
  } catch { /* a private window keeps nothing */ }
  return true;
}

async function announce(alert, now) {
  if (!wish("notify") && !wish("sound")) return;
  if (alert.severity === "info" || alert.state === "acknowledged" || !alert.told) return;
  if (Date.parse(alert.at) - Date.parse(alert.cleared_at ?? alert.raised_at) > FRESH) return;
  if (!(await isFirst(alert, now))) return;
  if (wish("notify") && globalThis.Notification?.permission === "granted") {
    const over = alert.state === "cleared";
    const shown = new Notification(over ? `Over: ${alert.title}` : alert.title, {
      body: alert.summary, tag: `plumbline-alert-${alert.id}`, requireInteraction: alert.severity === "critical" && !over,
    });
    shown.onclick = () => { focus(); location.href = `/alerts/${alert.id}/`; };
  }
  if (wish("sound") && sounds && alert.severity === "critical" && alert.state === "raised") ring();
}

/** Two short tones. */
function ring() {
  for (const [start, pitch] of [[0, 880], [0.22, 660]]) {
    const tone = sounds.createOscillator();
    const volume = sounds.createGain();
    const at = sounds.currentTime + start;
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.0001, at);
    volume.gain.exponentialRampToValueAtTime(0.2, at + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.2);
    tone.connect(volume).connect(sounds.destination);
    tone.start(at);
    tone.stop(at + 0.22);
  }
}

function wakeSounds() {
  sounds ??= globalThis.AudioContext ? new AudioContext() : null;
  sounds?.resume();
}

if (wish("sound")) {
  for (const gesture of ["pointerdown", "keydown"]) document.addEventListener(gesture, wakeSounds, { once: true });
}

/** A button that this browser remembers. `turnOn` answers false where it is refused, `allowed` says that it is not. */
function remembered(button, name, turnOn, allowed = () => true) {
  if (!button) return;
  const show = () => button.setAttribute("aria-pressed", String(wish(name) && allowed()));
  button.hidden = false;
  show();
  button.addEventListener("click", async () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    const refused = on && (await turnOn()) === false;
    const wanted = on && !refused ? "on" : "off";
    try { localStorage.setItem(`plumbline:${name}`, wanted); } catch { /* a private window forgets */ }
    show();
    const told = document.querySelector("[data-refused]");
    if (told && name === "notify") told.hidden = !refused;
  });
}

// Asked for by a click only: a page that asks by itself is refused for good.
if (globalThis.Notification) {
  remembered(
    document.querySelector("[data-notify]"), "notify",
    async () => (await Notification.requestPermission()) === "granted", () => Notification.permission === "granted",
  );
}
if (globalThis.AudioContext) {
  remembered(document.querySelector("[data-sound]"), "sound", () => { wakeSounds(); ring(); });
}
