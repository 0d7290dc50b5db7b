/** The page: puts its parts together. */

import { Api, ApiFailure } from "./api.js";
import { byId, makeTabs } from "./dom.js";
import { Downloads } from "./downloads.js";
import { Figures } from "./figures.js";
import { askKey } from "./key-dialog.js";
import { NewVoice } from "./new-voice.js";
import { Notices } from "./notices.js";
import { Pictures } from "./pictures.js";
import { Player } from "./player.js";
import { Settings } from "./settings.js";
import { Speaking } from "./speaking.js";
import { parseTurns, playTurns } from "./transcript.js";
import { Typing } from "./typing.js";
import { Voices } from "./voices.js";
import { Words } from "./words.js";

const POLL_MS = 1000;

const api = new Api(askKey);
const player = new Player();
const settings = new Settings();
const notices = new Notices();
const figures = new Figures(player);
const pictures = new Pictures(byId("pictures", HTMLCanvasElement));
const words = new Words(byId("words", HTMLElement), (sample) => speaking.hearFrom(sample));
const speaking = new Speaking({ api, player, settings, words, pictures, figures, notices });

const area = byId("text", HTMLTextAreaElement);
const chat = byId("chat", HTMLTextAreaElement);
const live = byId("live", HTMLInputElement);
const speak = byId("speak", HTMLButtonElement);
const stop = byId("stop", HTMLButtonElement);
const again = byId("again", HTMLButtonElement);
const pause = byId("pause", HTMLButtonElement);
const pace = byId("pace", HTMLInputElement);

const typing = new Typing(area, live, speaking, settings);
let chatShown = false;

/** What would be spoken now. */
const currentText = () => (chatShown ? spokenTurns() : area.value);
const spokenTurns = () =>
  parseTurns(chat.value)
    .filter((turn) => turn.spoken)
    .map((turn) => turn.text)
    .join("\n\n");

const downloads = new Downloads({
  api,
  settings,
  reading: () => speaking.reading,
  text: currentText,
  say: (text) => notices.say(text),
});
const voices = new Voices({
  api,
  settings,
  notices,
  preview: (voice) => speaking.speak(previewText(), { voice }),
});
new NewVoice(api, (voice) => {
  notices.say(`The voice ${voice.name} is added.`);
  void voices.load(voice.id);
});

/** The first sentence of the text: a model of digits cannot say much else. */
function previewText() {
  const text = currentText().trim() || area.placeholder;
  return /^[^.!?…\n]{1,200}[.!?…]?/u.exec(text)?.[0] ?? text.slice(0, 200);
}

// Speaking.

function speakNow() {
  if (chatShown) {
    playChat();
  } else if (typing.active && speaking.reading?.speaking && !speaking.reading.complete) {
    typing.finish();
  } else if (area.value.trim()) {
    speaking.speak(area.value);
  } else {
    notices.say("Write something first.");
    area.focus();
  }
}

function playChat() {
  const turns = parseTurns(chat.value);
  if (!turns.some((turn) => turn.spoken)) {
    notices.say("Paste a transcript with at least one answer.");
    chat.focus();
    return;
  }
  const reading = speaking.begin();
  void playTurns(turns, {
    rate: () => Number(pace.value),
    show: (turn) => words.addAside(turn.role, turn.text),
    write: (token) => reading.write(token),
    finish: () => reading.finish(),
    heard: () => !reading.speaking && player.ended,
    stopped: () => reading.stopped || reading !== speaking.reading,
  });
}

speak.addEventListener("click", speakNow);
stop.addEventListener("click", () => speaking.stop());
pause.addEventListener("click", () => speaking.togglePause());
again.addEventListener("click", () => {
  settings.newSeed();
  if (chatShown) playChat();
  else if (area.value.trim()) speaking.speak(area.value);
});
pace.addEventListener("input", () => showPace());
area.addEventListener("input", () => downloads.showCode());
chat.addEventListener("input", () => downloads.showCode());

function showPace() {
  const text = `${pace.value} tokens/s`;
  byId("pace-value", HTMLOutputElement).value = text;
  pace.setAttribute("aria-valuetext", text);
}

makeTabs(byId("sources", HTMLElement), (tab) => {
  chatShown = tab.id === "tab-chat";
  speak.textContent = chatShown ? "Play the chat" : "Speak";
  byId("live-setting", HTMLElement).hidden = chatShown;
  byId("pace-setting", HTMLElement).hidden = !chatShown;
  downloads.showCode();
});

speaking.addEventListener("change", (event) => {
  const state = /** @type {CustomEvent} */ (event).detail;
  document.body.dataset.state = state;
  stop.disabled = state === "idle";
  pause.textContent = state === "paused" ? "Go on" : state === "idle" ? "Hear again" : "Pause";
  pause.disabled = !speaking.reading;
  downloads.update();
});

// The keyboard.

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) speakNow();
  else if (event.key === "Escape") speaking.stop();
  else if (event.key === " " && isListening(event.target)) speaking.togglePause();
  else return;
  event.preventDefault();
});

/** Whether the space bar pauses here. @param {EventTarget | null} target */
function isListening(target) {
  return target === words.box || target === document.body;
}

// The start.

async function start() {
  showPace();
  for (;;) {
    const state = await api.state();
    if (state === "ready") break;
    const texts = {
      loading: "The model is loading …",
      failed: "The model could not be loaded: the log of the server says why.",
      unreachable: "The server cannot be reached. Trying again …",
    };
    speak.disabled = true;
    notices.show(texts[state], [], state === "loading" ? "wait" : "problem");
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  speak.disabled = false;
  notices.hide();
  try {
    byId("model", HTMLElement).textContent = await api.model();
    await Promise.all([voices.load(), api.socketUrl()]);
  } catch (error) {
    if (!(error instanceof ApiFailure)) throw error;
    notices.show(error.message, [{ label: "Try again", run: () => void start() }]);
  }
  downloads.showCode();
}

void start();

/** For the browser's console, and for tests. */
Object.assign(window, { sled: { api, player, settings, speaking, figures, typing } });
