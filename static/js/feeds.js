// The table of feeds: rendered by the server, read again when a feed says that it changed, and now and then for what no
// frame carries (the last event, problems). Ages are counted by page.js.
import { readFragment } from "./fragment.js";
import "./page.js";

const LOOK_EVERY = 5000;
const SOON = 200; // changes come together
const holder = document.querySelector("[data-feeds]");
let soon = null;
let reading = false;

if (holder) {
  document.addEventListener("plumbline:frame", ({ detail: frame }) => {
    if (frame.type === "feed") soon ??= setTimeout(renew, SOON);
  });
  document.addEventListener("visibilitychange", renew);
  setInterval(renew, LOOK_EVERY);
}

async function renew() {
  soon = null;
  if (reading || document.hidden) return;
  reading = true;
  try {
    const newer = (await readFragment(holder.dataset.feeds))?.querySelector("tbody");
    if (newer) holder.querySelector("tbody").replaceChildren(...newer.children);
  } finally {
    reading = false;
  }
}
