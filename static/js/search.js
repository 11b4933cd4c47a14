// Which rows match the words of a search: each word is in the row's text, and none that follows a minus. A row is matched again when its text changes, all rows when the words do.

export class RowSearch {
  #words = [];
  #texts = new Map(); // id → what is searched of a row
  #matching = new Set();
  #show;

  /** `show(id, matches)` is called for each row that was matched. */
  constructor(show) {
    this.#show = show;
  }

  /** How many rows match. */
  get matching() {
    return this.#matching.size;
  }

  /** Whether there are words to search for. */
  get isOn() {
    return this.#words.length > 0;
  }

  /** Match a row that is new, or whose text may have changed. */
  put(id, text) {
    const known = this.#texts.get(id);
    const searched = text.toLowerCase();
    if (known === searched) return;
    this.#texts.set(id, searched);
    this.#match(id, searched);
  }

  remove(id) {
    this.#texts.delete(id);
    this.#matching.delete(id);
  }

  /** Match all rows against other words. */
  search(query) {
    this.#words = query.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [id, text] of this.#texts) this.#match(id, text);
  }

  #match(id, text) {
    const matches = this.#words.every((word) =>
      word.length > 1 && word.startsWith("-") ? !text.includes(word.slice(1)) : text.includes(word));
    if (matches) this.#matching.add(id);
    else this.#matching.delete(id);
    this.#show(id, matches);
  }
}
