/** One connection to the server's WebSocket: text goes in, audio and marks come out. */

import { ApiFailure } from "./api.js";

/** Longer text goes in several messages: the server limits the size of one. */
const MESSAGE_CHARS = 16000;
/** How long to wait for what the server says of a cancelled utterance. */
const PATIENCE_MS = 3000;

/**
 * A word and when it is said; times from the beginning of its utterance.
 *
 * @typedef {object} WireMark
 * @property {string} text
 * @property {number} start_ms
 * @property {number} end_ms
 * @property {number} start_char place in the text of the utterance
 * @property {number} end_char
 */

/**
 * What a connection tells; utterances are numbered from 0.
 *
 * @typedef {object} StreamEvents
 * @property {(created: {sample_rate: number}) => void} created
 * @property {(utterance: number, samples: Int16Array<ArrayBuffer>) => void} audio
 * @property {(utterance: number, marks: WireMark[]) => void} marks
 * @property {(utterance: number, end: {cancelled: boolean, heard_text?: string}) => void} end
 * @property {(failure: ApiFailure) => void} failed the server refused or could not speak
 * @property {() => void} closed the server closed an idle connection
 */

export class SpeechStream {
  /**
   * @param {import("./api.js").Api} api
   * @param {object} config the settings of the request
   * @param {StreamEvents} events
   */
  constructor(api, config, events) {
    this.api = api;
    this.config = config;
    this.events = events;
    /** Whether text can still be written. */
    this.usable = true;
    /** Number of the utterance that the next text belongs to. */
    this.nextUtterance = 0;
    this.open = false;
    /** Utterances that were begun and have not ended. */
    this.pending = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {object[]} */
    this.waiting = [];
    this.speaking = 0;
    void this.#connect();
  }

  /** @param {string} text the next piece; it begins an utterance if none is open */
  write(text) {
    if (!this.open) {
      this.open = true;
      this.pending += 1;
    }
    for (let place = 0; place < text.length; place += MESSAGE_CHARS) {
      this.#send({ type: "input.text", text: text.slice(place, place + MESSAGE_CHARS) });
    }
  }

  /** The text of the utterance is complete. */
  finish() {
    if (!this.open) return;
    this.open = false;
    this.nextUtterance += 1;
    this.#send({ type: "input.done" });
  }

  /**
   * End all utterances; nothing but `end` is told from now on.
   *
   * @param {number} playedMs how much of the utterance that is being said was heard
   */
  cancel(playedMs) {
    if (!this.usable) return;
    this.usable = false;
    this.waiting = [];
    if (this.socket?.readyState === WebSocket.OPEN && this.pending) {
      this.#send({ type: "response.cancel", played_ms: Math.round(playedMs) });
      setTimeout(() => this.close(), PATIENCE_MS);
    } else {
      this.close();
    }
  }

  /** Close the connection; the server ends what it speaks. */
  close() {
    this.usable = false;
    const socket = this.socket;
    this.socket = null;
    if (socket?.readyState === WebSocket.CONNECTING) {
      // A browser reports a socket that is closed before it is open as an error.
      socket.onopen = () => socket.close(1000);
    } else {
      socket?.close(1000);
    }
  }

  async #connect() {
    try {
      const url = await this.api.socketUrl();
      if (!this.usable) return;
      const socket = new WebSocket(url);
      this.socket = socket;
      socket.binaryType = "arraybuffer";
      let opened = false;
      socket.onopen = () => {
        opened = true;
        socket.send(JSON.stringify({ type: "session.config", ...this.config }));
        for (const message of this.waiting.splice(0)) this.#send(message);
      };
      socket.onmessage = (event) => this.#receive(event.data);
      socket.onclose = (event) => void this.#onClose(event, opened);
    } catch (error) {
      this.#fail(error instanceof ApiFailure ? error : new ApiFailure(0, "lost", String(error)));
    }
  }

  /** @param {object} message */
  #send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
    else if (this.usable) this.waiting.push(message);
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    if (typeof data !== "string") {
      if (this.usable) this.events.audio(this.speaking, new Int16Array(data));
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "audio.done") {
      this.pending -= 1;
      if (this.open && message.utterance_index === this.nextUtterance) {
        // The server has ended it: no text came for long, or it cannot be said.
        this.open = false;
        this.nextUtterance += 1;
      }
      this.events.end(message.utterance_index, message);
      if (!this.usable) this.close();
      return;
    }
    if (!this.usable) return;
    if (message.type === "session.created") this.events.created(message);
    else if (message.type === "audio.start") this.speaking = message.utterance_index;
    else if (message.type === "audio.marks") this.events.marks(this.speaking, message.marks);
    else if (message.type === "error") {
      const { code, message: text, retry_after_ms: waitMs } = message;
      this.#fail(new ApiFailure(400, code, text, waitMs ?? null));
    }
  }

  /** @param {CloseEvent} event @param {boolean} opened */
  async #onClose(event, opened) {
    if (!this.usable) return;
    if (!opened) {
      // A browser does not tell why a socket was refused. Perhaps the server was started again and
      // does not know the token.
      this.api.token = null;
      const state = await this.api.state();
      if (state === "ready")
        this.#fail(new ApiFailure(429, "at_capacity", "no place is free", 2000));
      else if (state === "loading") this.#fail(new ApiFailure(503, "starting", "loading", 1000));
      else this.#fail(new ApiFailure(0, "lost", "the server cannot be reached"));
    } else if (event.code === 1000 && !this.pending) {
      this.usable = false;
      this.events.closed();
    } else if (event.code === 1013) {
      this.#fail(new ApiFailure(429, "at_capacity", event.reason, 2000));
    } else {
      this.#fail(new ApiFailure(0, "lost", event.reason || "the connection was lost"));
    }
  }

  /** @param {ApiFailure} failure */
  #fail(failure) {
    if (!this.usable) return;
    this.close();
    this.events.failed(failure);
  }
}
