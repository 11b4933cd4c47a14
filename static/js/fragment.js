// A part of a page that the server renders by itself: asked for with the ETag of what is shown, so that nothing is sent
// while nothing changed.
const etags = new Map(); // address → ETag of what was read last

/** The part's elements in a document of their own; null where it has not changed or could not be read. */
export async function readFragment(url) {
  const known = etags.get(url);
  const headers = known ? { "If-None-Match": known } : {};
  const answer = await fetch(url, { headers, cache: "no-store" }).catch(() => null);
  if (!answer?.ok || answer.redirected) return null; // 304, signed out, or not reachable: the badge says which
  const text = await answer.text();
  etags.set(url, answer.headers.get("ETag"));
  return new DOMParser().parseFromString(text, "text/html");
}

/** What is shown is not what was read: the next answer must be whole. */
export function forgetFragment(url) {
  etags.delete(url);
}
