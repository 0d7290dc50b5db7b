"""Answers are as the OpenAPI document says, whatever is asked.

This runs a small part of what schemathesis can do. All of it, against a server that runs:

    st --config-file tests/serving/schemathesis.toml run http://127.0.0.1:8000/openapi.json
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.serving.conftest import Running

CONFIG = Path(__file__).with_name("schemathesis.toml")
COMMAND = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"


@pytest.mark.skipif(find_spec("schemathesis") is None, reason="schemathesis is not installed")
def test_answers_are_as_documented(served: Running) -> None:
    command = [sys.executable, "-c", COMMAND, "--config-file", str(CONFIG)]
    command += ["run", f"{served.url}/openapi.json", "--phases", "fuzzing,stateful", "--no-color"]
    command += ["--max-examples", "2", "--seed", "1", "--request-timeout", "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
