"""The README is executable: its commands are the ones that run, its Python runs."""

import re
import shlex
from pathlib import Path

import pytest

from sled.cli.commands import COMMANDS, find_command
from sled.cli.main import build_parser
from tests.commands import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Fenced code blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Words after `sled` of the commands in a text: fenced, or between backquotes with flags."""
    fenced = "".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))
    lines = fenced.replace("\\\n", " ").splitlines()
    lines += re.findall(r"`(sled [^`]* --[^`]*)`", text.replace("\n", " "))
    calls = (re.search(r"(?:^|/| )(sled .*?)(?: [#|&] .*| \.\.\.|$)", line) for line in lines)
    return [shlex.split(call[1])[1:] for call in calls if call]


def test_commands_of_the_readme_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """As far as they are written out."""
    found = commands(README)
    assert len(found) > 10
    explained: dict[str, str] = {}
    for words in found:
        name = find_command(words)
        assert name is not None, words
        if "--transforms" not in words and not COMMANDS[name].own_parser:
            build_parser(name).parse_args(words)
            continue
        if name not in explained:
            assert run(name, "--help") == 0
            explained[name] = capsys.readouterr().out
        flags = [word for word in words if word.startswith("--")]
        assert [flag for flag in flags if flag not in explained[name]] == []


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    command = blocks("bash")[1].strip()
    assert "pytest" in command
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_script_and_file_the_readme_names_exists() -> None:
    named = set(re.findall(r"(?:scripts|runs|sled|tests)/[\w./-]*\w", README))
    assert "runs/digits/run.sh" in named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("example", blocks("python"))
def test_python_examples_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), namespace)
    if "out.wav" in example:
        assert (tmp_path / "out.wav").stat().st_size > 1000
