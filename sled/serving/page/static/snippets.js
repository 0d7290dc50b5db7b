/** The request of the page as code that can be copied. A key is never part of it. */

/**
 * @typedef {object} Call
 * @property {URL} base the address of the API, which ends with /v1/
 * @property {object} body of the request for speech
 * @property {boolean} needsKey
 */

/** @param {Call} call */
export function curl({ base, body, needsKey }) {
  const key = needsKey ? ` \\\n  -H "authorization: Bearer $SLED_KEY"` : "";
  const json = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl ${new URL("audio/speech", base)}${key} \\
  -H 'content-type: application/json' \\
  -d '${json}' \\
  -o speech.mp3`;
}

/** With OpenAI's client; fields that it does not know go into extra_body. @param {Call} call */
export function python({ base, body, needsKey }) {
  const { input, voice, speed, ...extra } = /** @type {Record<string, unknown>} */ (body);
  const known = { voice: voice ?? "alloy", input, speed };
  const lines = Object.entries(known).map(([name, value]) => `    ${name}=${literal(value)},`);
  const { response_format: format, ...ours } = extra;
  lines.push(`    response_format=${literal(format)},`, `    extra_body=${literal(ours)},`);
  const key = needsKey ? 'os.environ["SLED_KEY"]' : '"none"';
  return `${needsKey ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url=${literal(base.href)}, api_key=${key})
with client.audio.speech.with_streaming_response.create(
    model="tts-1",
${lines.join("\n")}
) as answer:
    answer.stream_to_file("speech.mp3")`;
}

/** @param {Call} call */
export function javascript({ base, body, needsKey }) {
  const key = needsKey ? "\n    authorization: `Bearer ${process.env.SLED_KEY}`," : "";
  return `import { writeFile } from "node:fs/promises";

const answer = await fetch(${literal(new URL("audio/speech", base).href)}, {
  method: "POST",
  headers: {
    "content-type": "application/json",${key}
  },
  body: JSON.stringify(${JSON.stringify(body, null, 2).replaceAll("\n", "\n  ")}),
});
if (!answer.ok) throw new Error(await answer.text());
await writeFile("speech.mp3", Buffer.from(await answer.arrayBuffer()));`;
}

/** A value as both Python and JavaScript write it: of these, no booleans. @param {unknown} value */
function literal(value) {
  return JSON.stringify(value);
}
