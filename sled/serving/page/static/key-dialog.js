/** Asks for a key when the server wants one. */

import { byId } from "./dom.js";

/** @returns {Promise<string | null>} null if none is given */
export function askKey() {
  const dialog = byId("key-dialog", HTMLDialogElement);
  const form = byId("key-form", HTMLFormElement);
  const input = byId("key", HTMLInputElement);
  if (asking) return asking;
  asking = new Promise((resolve) => {
    let key = "";
    input.value = "";
    form.onsubmit = (event) => {
      event.preventDefault();
      key = input.value.trim();
      dialog.close();
    };
    byId("key-cancel", HTMLButtonElement).onclick = () => dialog.close();
    dialog.onclose = () => {
      asking = null;
      resolve(key || null);
    };
    dialog.showModal();
  });
  return asking;
}

/** Several requests may be refused at a time: they share one question. @type {Promise<string | null> | null} */
let asking = null;
