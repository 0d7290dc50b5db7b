/** Small helpers for the document. */

/**
 * The element of an id.
 *
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} kind its class, which is checked
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/**
 * A new element.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Partial<HTMLElementTagNameMap[K]>} [properties] such as className and textContent
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Whether the listener wants little motion. */
export const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Make a list of buttons with role "tab" switch the panels that they control.
 *
 * @param {HTMLElement} list
 * @param {(tab: HTMLElement) => void} [onChange]
 */
export function makeTabs(list, onChange) {
  const tabs = /** @type {HTMLElement[]} */ ([...list.querySelectorAll('[role="tab"]')]);
  /** @param {HTMLElement} chosen */
  const choose = (chosen) => {
    for (const tab of tabs) {
      const selected = tab === chosen;
      tab.setAttribute("aria-selected", String(selected));
      tab.tabIndex = selected ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      if (panel && panel.getAttribute("role") === "tabpanel") {
        const shared = tabs.some(
          (other) => other !== tab && other.getAttribute("aria-controls") === panel.id,
        );
        if (!shared) panel.hidden = !selected;
        else if (selected) panel.setAttribute("aria-labelledby", tab.id);
      }
    }
    onChange?.(chosen);
  };
  for (const [place, tab] of tabs.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const steps = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1 });
      if (!(event.key in steps)) return;
      const next = tabs[(place + steps[event.key] + tabs.length) % tabs.length];
      next.focus();
      choose(next);
    });
  }
}
