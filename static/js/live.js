// One lasting socket: it connects, notices silence, reconnects after growing and jittered pauses, and then requests
// what it missed. While the tab is hidden it retries slowly; it never pings, as timers of a hidden tab sleep (the
// server judges a client that does not ping by its transport).

const SILENT_AFTER = 5000; // the server beats every 2 s
const GIVE_UP_AFTER = 12000; // a dead socket that was not closed is replaced
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15000;
const HIDDEN_PAUSE = 60000; // what is missed meanwhile is fetched in one go when the tab is shown
const SIGNED_OUT = 4401;
const TOO_MANY = 4429;

/** The pause before try number `tries` (from 0), in milliseconds: doubling up to the longest, ± half of it. */
export function pauseBefore(tries, random = Math.random) {
  return Math.min(FIRST_PAUSE * 2 ** Math.min(tries, 10), LONGEST_PAUSE) * (0.5 + random());
}

/**
 * Keep a socket open. `receive(frame)` gets each parsed frame; `state(name, seconds)` is told "connecting",
 * "catching" (open again, what was missed is on its way), "live", "silent" (seconds without a frame), "offline"
 * (seconds since the last frame), "ended" (signed out) or "crowded" (too many windows). Returns what the page may ask.
 */
export function connect({ path, receive, state }) {
  let socket = null;
  let tries = 0;
  let retryAt = 0;
  let last = Date.now();
  let token = "";
  let over = false;
  let openedAt = 0;

  const open = () => {
    retryAt = 0;
    openedAt = Date.now();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = token ? `${path.includes("?") ? "&" : "?"}resume=${encodeURIComponent(token)}` : "";
    const mine = new WebSocket(`${scheme}://${location.host}${path}${query}`);
    socket = mine;
    let caughtUp = !token;
    if (token) mine.onopen = () => { if (socket === mine) state("catching", 0); };
    mine.onmessage = (event) => {
      if (socket !== mine) return;
      const frame = JSON.parse(event.data);
      last = Date.now();
      tries = 0;
      // After a resume: what was missed ends with totals; a snapshot starts over.
      caughtUp ||= frame.type === "portfolio" || frame.type === "snapshot" || frame.type === "heartbeat";
      if (caughtUp) state("live", 0);
      receive(frame);
      if (frame.token) token = frame.token;
    };
    mine.onclose = (event) => { if (socket === mine) lost(event.code); };
  };

  const lost = (code) => {
    socket = null;
    if (code === SIGNED_OUT || code === TOO_MANY) {
      over = true;
      state(code === SIGNED_OUT ? "ended" : "crowded", 0);
      return;
    }
    retryAt = Date.now() + pauseBefore(tries);
    if (document.hidden) retryAt = Math.max(retryAt, Date.now() + HIDDEN_PAUSE * (0.5 + Math.random()));
    tries += 1;
  };

  const look = () => {
    if (over) return;
    const now = Date.now();
    const silence = now - last;
    if (socket && silence > GIVE_UP_AFTER && now - openedAt > GIVE_UP_AFTER) {
      const dead = socket;
      lost(0);
      dead.close();
    }
    if (!socket && retryAt && now >= retryAt) open();
    if (silence > SILENT_AFTER) state(socket ? "silent" : "offline", Math.floor(silence / 1000));
  };

  /** Reconnect at once, whatever the pause: the tab is shown again, or the network is back. */
  const hurry = () => {
    if (over || document.hidden) return;
    tries = 0;
    if (!socket) open();
    look();
  };

  state("connecting", 0);
  open();
  setInterval(look, 500);
  addEventListener("online", hurry);
  addEventListener("pageshow", hurry);
  document.addEventListener("visibilitychange", hurry);

  /** Ask for everything anew, at most once a second. */
  let askedAt = 0;
  const startOver = () => {
    if (socket?.readyState !== WebSocket.OPEN || Date.now() - askedAt < 1000) return;
    askedAt = Date.now();
    socket.send(JSON.stringify({ type: "resume", token: "none-0" }));
  };
  return { startOver };
}
