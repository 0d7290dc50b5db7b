/** The text as it is said: the present word is lit, and each word can be heard again. */

import { commonLength } from "./corrections.js";
import { make, reducedMotion } from "./dom.js";

/**
 * A word on the page.
 *
 * @typedef {object} Item
 * @property {number} startChar
 * @property {number} endChar
 * @property {HTMLElement} element
 * @property {number} start sample at which it is said; Infinity before that is known
 * @property {number} end
 */

/** A list box: one stop for the tab key, arrows move within. */
export class Words {
  /**
   * @param {HTMLElement} box
   * @param {(sample: number) => void} onChoose
   */
  constructor(box, onChoose) {
    this.box = box;
    this.onChoose = onChoose;
    /** @type {Item[]} */
    this.items = [];
    this.shown = "";
    this.assigned = 0;
    this.present = -1;
    this.active = -1;
    box.addEventListener("click", (event) => this.#onClick(event));
    box.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Begin another text. */
  clear() {
    this.box.replaceChildren();
    this.box.removeAttribute("aria-activedescendant");
    this.items = [];
    this.shown = "";
    this.assigned = 0;
    this.present = this.active = -1;
  }

  /** Show text that is not spoken. @param {string} role @param {string} text */
  addAside(role, text) {
    const name = make("b", { textContent: role });
    this.box.append(make("span", { className: "aside" }, name, ` ${text}`));
  }

  /**
   * Show the text and the words that are known to be said.
   *
   * @param {string} text
   * @param {import("./marks.js").Mark[]} marks
   */
  update(text, marks) {
    if (text !== this.shown) this.#showText(text);
    if (marks.length < this.assigned) {
      this.assigned = 0;
      for (const item of this.items) this.#assign(item, Infinity, -Infinity);
    }
    for (; this.assigned < marks.length; this.assigned += 1) {
      const mark = marks[this.assigned];
      for (let at = this.#find(mark.startChar); at < this.items.length; at += 1) {
        const item = this.items[at];
        if (item.startChar >= mark.endChar) break;
        this.#assign(item, Math.min(item.start, mark.start), Math.max(item.end, mark.end));
      }
    }
  }

  /**
   * Light the word that is heard.
   *
   * @param {number} sample -1: none
   * @param {boolean} ended whether all is said, so that no word is lit
   */
  light(sample, ended) {
    this.box.classList.toggle("ended", ended);
    let next = this.present;
    while (next + 1 < this.items.length && this.items[next + 1].start <= sample) next += 1;
    while (next >= 0 && this.items[next].start > sample) next -= 1;
    if (next === this.present) return;
    for (let at = Math.max(0, Math.min(next, this.present)); at < this.items.length; at += 1) {
      if (at > Math.max(next, this.present)) break;
      const { classList } = this.items[at].element;
      classList.toggle("said", at < next);
      classList.toggle("now", at === next);
    }
    this.present = next;
    if (next >= 0) this.#reveal(this.items[next].element);
  }

  /** Strike out what was not heard. @param {number} chars that were */
  strikeBehind(chars) {
    for (const { startChar, element } of this.items) {
      element.classList.toggle("unheard", startChar >= chars);
    }
  }

  /** @param {string} text */
  #showText(text) {
    let same = commonLength(this.shown, text);
    const changed = (/** @type {Item} */ item) =>
      item.endChar > same || (item.endChar === same && /\S/.test(text.charAt(same)));
    while (this.items.length && changed(this.items[this.items.length - 1])) {
      const { element, startChar } = /** @type {Item} */ (this.items.pop());
      element.remove();
      same = Math.min(same, startChar);
      this.assigned = 0;
    }
    const last = this.items[this.items.length - 1];
    const from = last ? last.endChar : 0;
    /** @type {ChildNode | null} */
    let node = last ? last.element.nextSibling : this.box.firstChild;
    while (node) {
      const next = node.nextSibling;
      if (node instanceof Text) node.remove();
      node = next;
    }
    const aside = this.box.lastChild !== (last?.element ?? null);
    this.present = Math.min(this.present, this.items.length - 1);
    this.active = Math.min(this.active, this.items.length - 1);
    const fresh = document.createDocumentFragment();
    let place = from;
    for (const word of text.slice(from).matchAll(/\S+/gu)) {
      const startChar = from + word.index;
      const endChar = startChar + word[0].length;
      const element = make("span", { className: "word", textContent: word[0] });
      element.setAttribute("role", "option");
      element.setAttribute("aria-disabled", "true");
      element.id = `word-${this.items.length}`;
      const gap = text.slice(place, startChar);
      fresh.append(aside && place === from ? gap.trimStart() : gap, element);
      this.items.push({ startChar, endChar, element, start: Infinity, end: -Infinity });
      place = endChar;
    }
    fresh.append(text.slice(place));
    this.box.append(fresh);
    this.shown = text;
  }

  /** @param {Item} item @param {number} start @param {number} end */
  #assign(item, start, end) {
    item.start = start;
    item.end = end;
    if (start < Infinity) item.element.removeAttribute("aria-disabled");
    else item.element.setAttribute("aria-disabled", "true");
  }

  /** The first word that ends behind a character. @param {number} char */
  #find(char) {
    let low = 0;
    for (let high = this.items.length; low < high;) {
      const middle = (low + high) >> 1;
      if (this.items[middle].endChar > char) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** @param {number} at */
  #choose(at) {
    const item = this.items[at];
    if (item && item.start < Infinity) this.onChoose(item.start);
  }

  /** @param {MouseEvent} event */
  #onClick(event) {
    const at = this.items.findIndex((item) => item.element === event.target);
    if (at < 0) return;
    this.#activate(at);
    this.#choose(at);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const last = this.items.length - 1;
    const from = this.active < 0 ? this.present : this.active;
    const target = /** @type {Record<string, number>} */ ({
      ArrowRight: from + 1,
      ArrowLeft: from - 1,
      ArrowDown: from + 10,
      ArrowUp: from - 10,
      Home: 0,
      End: last,
    })[event.key];
    if (target !== undefined) this.#activate(Math.max(0, Math.min(last, target)));
    else if (event.key === "Enter") this.#choose(this.active);
    else return;
    event.preventDefault();
  }

  /** @param {number} at */
  #activate(at) {
    this.items[this.active]?.element.classList.remove("active");
    this.active = at;
    const element = this.items[at]?.element;
    if (!element) return;
    element.classList.add("active");
    this.box.setAttribute("aria-activedescendant", element.id);
    this.#reveal(element);
  }

  /** @param {HTMLElement} element */
  #reveal(element) {
    const { box } = this;
    const top = element.offsetTop - box.offsetTop;
    const margin = element.offsetHeight;
    if (top >= box.scrollTop && top + 2 * margin <= box.scrollTop + box.clientHeight) return;
    const behavior = reducedMotion.matches ? "auto" : "smooth";
    box.scrollTo({ top: Math.max(0, top - box.clientHeight / 3), behavior });
  }
}
