/** The server's HTTP API, and the key that it may ask for. */

const KEY = "sled-key";
/** A token is not used in its last seconds, so that it is still valid when it arrives. */
const TOKEN_MARGIN_MS = 5000;

/** An error that the server told, or that it could not be reached (status 0). */
export class ApiFailure extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {number | null} [retryAfterMs]
   */
  constructor(status, code, message, retryAfterMs = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * @typedef {object} Voice
 * @property {string} id
 * @property {string} name
 * @property {string} kind "builtin" or "uploaded"
 */

export class Api {
  /** @param {() => Promise<string | null>} askKey asks for a key; null if none is given */
  constructor(askKey) {
    this.askKey = askKey;
    /** Requests go to where the page came from, also behind a proxy with a path. */
    this.base = new URL("v1/", document.baseURI);
    /** @type {{token: string, endsMs: number} | null} */
    this.token = null;
    /** Which marks to ask for: "none" once the model has turned out to have none. */
    this.marks = "word";
    /** Whether the server has asked for a key. */
    this.needsKey = sessionStorage.getItem(KEY) !== null;
  }

  /**
   * Send a request; ask for a key when the server wants one.
   *
   * @param {string} path below /v1
   * @param {RequestInit} [options]
   * @returns {Promise<Response>}
   * @throws {ApiFailure}
   */
  async request(path, options = {}) {
    for (;;) {
      const key = sessionStorage.getItem(KEY);
      const headers = new Headers(options.headers);
      if (key) headers.set("authorization", `Bearer ${key}`);
      const response = await this.#fetch(new URL(path, this.base), { ...options, headers });
      if (response.ok) return response;
      const failure = await readFailure(response);
      if (failure.status !== 401) throw failure;
      this.needsKey = true;
      this.token = null;
      const newest = sessionStorage.getItem(KEY);
      if (newest !== null && newest !== key) continue; // given while this request was under way
      sessionStorage.removeItem(KEY);
      const given = await this.askKey();
      if (!given) throw failure;
      sessionStorage.setItem(KEY, given);
    }
  }

  /**
   * Whether the server takes requests now.
   *
   * @returns {Promise<"ready" | "loading" | "failed" | "unreachable">}
   */
  async state() {
    try {
      const ready = await this.#fetch(new URL("../ready", this.base));
      if (ready.ok) return "ready";
      const health = await this.#fetch(new URL("../health", this.base));
      return health.ok ? "loading" : "failed";
    } catch {
      return "unreachable";
    }
  }

  /**
   * The address of the WebSocket, with a token in place of the key: addresses are logged.
   *
   * @returns {Promise<URL>}
   */
  async socketUrl() {
    const url = new URL("audio/speech/stream", this.base);
    url.protocol = url.protocol.replace("http", "ws");
    if (!this.token || performance.now() > this.token.endsMs) await this.#renewToken();
    if (this.token) url.searchParams.set("token", this.token.token);
    return url;
  }

  async #renewToken() {
    const response = await this.request("tokens", { method: "POST" });
    const { token, expires_in: seconds } = await response.json();
    this.token = { token, endsMs: performance.now() + 1000 * seconds - TOKEN_MARGIN_MS };
  }

  /** @returns {Promise<string>} the name of the model */
  async model() {
    const { data } = await (await this.request("models")).json();
    return data[0].id;
  }

  /** @returns {Promise<Voice[]>} */
  async voices() {
    const { voices, consent } = await (await this.request("audio/voices")).json();
    this.consentPolicy = consent;
    return voices;
  }

  /** @param {FormData} form @returns {Promise<Voice>} */
  async addVoice(form) {
    return (await this.request("audio/voices", { method: "POST", body: form })).json();
  }

  /** @param {FormData} form @returns {Promise<string>} its id */
  async addConsent(form) {
    return (await (await this.request("audio/voice_consents", { method: "POST", body: form })).json())
      .id;
  }

  /** @param {string} id */
  async removeVoice(id) {
    await this.request(`audio/voices/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  /**
   * Have a whole text spoken into a file.
   *
   * @param {object} body
   * @returns {Promise<Blob>}
   */
  async speech(body) {
    const response = await this.request("audio/speech", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    try {
      return await response.blob();
    } catch {
      // The server cuts the connection when speaking fails after its first audio.
      throw new ApiFailure(0, "lost", "the speech broke off: try again");
    }
  }

  /** @param {URL} url @param {RequestInit} [options] */
  async #fetch(url, options) {
    try {
      return await fetch(url, options);
    } catch (error) {
      if (error instanceof DOMException) throw error;
      throw new ApiFailure(0, "unreachable", "the server cannot be reached");
    }
  }
}

/** @param {Response} response */
async function readFailure(response) {
  const retry = response.headers.get("retry-after-ms");
  const waitMs = retry === null ? null : Number(retry);
  try {
    const { error } = await response.json();
    return new ApiFailure(response.status, error.code, error.message, waitMs);
  } catch {
    return new ApiFailure(response.status, "unknown", response.statusText, waitMs);
  }
}
