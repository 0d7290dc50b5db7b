/** Messages to the listener: a line of status, and a notice that asks for something. */

import { byId, make } from "./dom.js";

/**
 * @typedef {object} Action
 * @property {string} label
 * @property {() => void} run
 */

export class Notices {
  constructor() {
    this.status = byId("status", HTMLElement);
    this.box = byId("notice", HTMLElement);
    this.message = byId("notice-message", HTMLElement);
    this.actions = byId("notice-actions", HTMLElement);
    this.timer = 0;
  }

  /** Say something in passing; screen readers read it when they are free. @param {string} text */
  say(text) {
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  /**
   * Show a notice until it is hidden or another one is shown.
   *
   * @param {string} text
   * @param {Action[]} [actions]
   * @param {"problem" | "wait"} [kind]
   */
  show(text, actions = [], kind = "problem") {
    clearInterval(this.timer);
    this.box.className = `notice ${kind}`;
    this.message.textContent = text;
    this.actions.replaceChildren(
      ...actions.map(({ label, run }) => {
        const button = make("button", { type: "button", textContent: label });
        button.addEventListener("click", () => {
          this.hide();
          run();
        });
        return button;
      }),
    );
    this.box.hidden = false;
  }

  /**
   * Show a notice and go on by itself after a while.
   *
   * @param {string} text
   * @param {number} waitMs
   * @param {() => void} goOn
   * @param {() => void} giveUp
   */
  countDown(text, waitMs, goOn, giveUp) {
    const endMs = performance.now() + waitMs;
    const actions = [
      { label: "Try now", run: goOn },
      { label: "Give up", run: giveUp },
    ];
    const left = () => Math.max(0, Math.ceil((endMs - performance.now()) / 1000));
    this.show(`${text} Trying again in ${left()} s.`, actions, "wait");
    this.timer = setInterval(() => {
      if (performance.now() < endMs) {
        this.message.textContent = `${text} Trying again in ${left()} s.`;
      } else {
        this.hide();
        goOn();
      }
    }, 250);
  }

  hide() {
    clearInterval(this.timer);
    this.box.hidden = true;
  }
}
