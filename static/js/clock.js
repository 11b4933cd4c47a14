// The server's clock: ages are counted on it, not on this browser's.
let skew = 0; // the server's clock minus this browser's, in milliseconds

/** The server's time now, in milliseconds. */
export function serverNow() {
  return Date.now() + skew;
}

/** Note the server's time, as a frame brings it. */
export function setServerTime(text) {
  skew = Date.parse(text) - Date.now();
}
