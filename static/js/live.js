// One socket that stays: connects, notices silence, comes back with growing and jittered pauses.

const SILENT_AFTER = 5000; // the server beats every 2 s
const GIVE_UP_AFTER = 12000; // a socket that has died without saying so is replaced
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15000;
const SIGNED_OUT = 4401;

/**
 * Keep a socket open. `receive(frame)` gets each parsed frame; `state(name, seconds)` is told "connecting",
 * "live", "silent" (seconds without a frame), "offline" (seconds since the last frame) or "ended" (signed out).
 */
export function connect({ path, receive, state }) {
  let socket = null;
  let pause = FIRST_PAUSE;
  let retryAt = 0;
  let last = Date.now();
  let ended = false;

  const open = () => {
    retryAt = 0;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const mine = new WebSocket(`${scheme}://${location.host}${path}`);
    socket = mine;
    const opened = Date.now();
    mine.onmessage = (event) => {
      if (socket !== mine) return;
      last = Date.now();
      pause = FIRST_PAUSE;
      state("live", 0);
      receive(JSON.parse(event.data));
    };
    mine.onclose = (event) => {
      if (socket !== mine) return;
      socket = null;
      if (event.code === SIGNED_OUT) {
        ended = true;
        state("ended", 0);
        return;
      }
      retryAt = Date.now() + pause * (0.5 + Math.random());
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    };
    mine.openedAt = opened;
  };

  const look = () => {
    if (ended) return;
    const now = Date.now();
    const silence = now - last;
    if (socket && silence > GIVE_UP_AFTER && now - socket.openedAt > GIVE_UP_AFTER) {
      const dead = socket;
      socket = null;
      dead.close();
      retryAt = now;
    }
    if (!socket && retryAt && now >= retryAt) open();
    if (silence > SILENT_AFTER) state(socket ? "silent" : "offline", Math.floor(silence / 1000));
  };

  state("connecting", 0);
  open();
  setInterval(look, 500);
  addEventListener("online", () => { if (!socket && !ended) open(); });
}
