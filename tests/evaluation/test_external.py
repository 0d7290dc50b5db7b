"""Systems of others: a command, a server and a folder, each of them a small real one."""

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sled.evaluation.items import Clip, Item
from sled.evaluation.systems import parse_system

RATE = 16_000
# Writes as many samples as the text has characters, of a level that the seed gives.
SPEAKER = """
import sys, numpy, soundfile
text, output, seed = sys.argv[1:4]
if text == "fail":
    sys.exit("no voice")
soundfile.write(output, numpy.full(len(text), int(seed) / 10), 16000)
"""


def command(tmp_path: Path, template: str) -> str:
    script = tmp_path / "speaker.py"
    script.write_text(SPEAKER)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {template}"


def test_a_command_is_run_without_a_shell_and_texts_stay_as_they_are(tmp_path: Path) -> None:
    text = 'He said "no"; `touch x` $HOME {seed} {output} *'
    system = parse_system("peer=" + command(tmp_path, "{text} {output} {seed}"))
    (spoken,) = system.speak([Item("a", text)], [3])
    assert len(spoken.audio) == len(text) and spoken.sample_rate == RATE
    assert spoken.audio == pytest.approx(np.full(len(text), 0.3), abs=1e-3)
    assert system.uses_seed and spoken.synthesis_s is not None and spoken.synthesis_s > 0
    with pytest.raises(ValueError, match=r"no audio for item b \(status 1: no voice\)"):
        system.speak([Item("b", "fail")], [0])


def test_a_command_gets_the_prompt_if_it_asks_for_it(tmp_path: Path) -> None:
    read = "import sys, shutil; shutil.copy(sys.argv[1], sys.argv[2])"
    template = f"{shlex.quote(sys.executable)} -c {shlex.quote(read)} {{prompt_audio}} {{output}}"
    system = parse_system(f"echo={template}")
    prompt = Clip("p", lambda rate: np.full(rate // 10, 0.5, np.float32), "before")
    (spoken,) = system.speak([Item("a", "x", prompt=prompt)], [0])
    assert spoken.audio == pytest.approx(np.full(2_400, 0.5), abs=1e-3)
    assert not system.uses_seed
    with pytest.raises(ValueError, match="item b has no prompt_audio"):
        system.speak([Item("b", "x")], [0])


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that streams WAV audio whose header does not know its length."""
    requests: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append({**body, "path": self.path, "key": self.headers["Authorization"]})
            samples = (np.full(len(body["input"]), 0.25) * 32767).astype("<i2").tobytes()
            unknown = b"\xff\xff\xff\xff"
            form = (16).to_bytes(4, "little") + b"\x01\x00\x01\x00" + RATE.to_bytes(4, "little")
            form += (2 * RATE).to_bytes(4, "little") + b"\x02\x00\x10\x00"
            head = b"RIFF" + unknown + b"WAVEfmt " + form + b"data" + unknown
            self.send_response(200)
            self.end_headers()
            self.wfile.write(head)
            self.wfile.flush()
            self.wfile.write(samples)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/v1", requests
    http.shutdown()
    http.server_close()


def test_a_server_is_asked_as_openai_says(server: tuple[str, list[dict[str, str]]]) -> None:
    address, requests = server
    system = parse_system(f"peer={address}?voice=nova&key=secret")
    (spoken,) = system.speak([Item("a", "Good morning.")], [0])
    assert spoken.audio == pytest.approx(np.full(13, 0.25), abs=1e-3)
    assert spoken.first_audio_s is not None and spoken.synthesis_s is not None
    assert 0 < spoken.first_audio_s <= spoken.synthesis_s
    (request,) = requests
    assert (request["input"], request["voice"]) == ("Good morning.", "nova")
    assert (request["path"], request["key"]) == ("/v1/audio/speech", "Bearer secret")
    assert "secret" not in json.dumps(system.settings())
    with pytest.raises(ValueError, match="did not answer"):
        parse_system("gone=http://127.0.0.1:9").speak([Item("a", "x")], [0])


def test_a_folder_has_a_file_of_each_text(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    soundfile.write(tmp_path / "sub" / "a.wav", np.full((10, 2), 0.5), RATE)
    system = parse_system(f"files={tmp_path}")
    (spoken,) = system.speak([Item("sub/a", "x")], [0])
    assert spoken.audio == pytest.approx(np.full(10, 0.5), abs=1e-3)
    with pytest.raises(ValueError, match=r"files: no .*b\.wav"):
        system.speak([Item("b", "x")], [0])


@pytest.mark.parametrize("spec", ["none", "a b=/tmp", "x=say {text}", "../x=http://localhost"])
def test_other_systems_are_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="--system"):
        parse_system(spec)
