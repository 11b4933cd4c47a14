// How feeds stand: the server paints the table; it is asked again when a feed says that it changed, and now and then.
import { age } from "./format.js";
import { serverNow } from "./page.js";
import { write } from "./patch.js";

const LOOK_EVERY = 5000;
const SOON = 200; // changes come together
let soon = null;
let asking = false;

document.addEventListener("plumbline:frame", ({ detail: frame }) => {
  if (frame.type === "feed") soon ??= setTimeout(renew, SOON);
});
document.addEventListener("visibilitychange", renew);
setInterval(renew, LOOK_EVERY);

async function renew() {
  soon = null;
  if (asking || document.hidden) return;
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Requested-With": "feeds" } });
    const page = answer.ok && !answer.redirected ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
    const newer = page?.querySelector("[data-feeds] tbody");
    if (newer) document.querySelector("[data-feeds] tbody").replaceChildren(...newer.children);
    tick();
  } catch { // not reachable: the badge says so, and ages grow
  } finally {
    asking = false;
  }
}

function tick() {
  for (const cell of document.querySelectorAll("[data-ago]")) {
    write(cell, age((serverNow() - Date.parse(cell.dataset.ago)) / 1000));
  }
}
tick();
setInterval(tick, 1000);
