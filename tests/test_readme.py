"""The README is executable: its commands are the ones that run, its Python runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Fenced code blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    command = blocks("bash")[1].strip()
    assert "pytest" in command
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_every_script_and_file_the_readme_names_exists() -> None:
    named = set(re.findall(r"(?:scripts|runs|sled|tests)/[\w./-]*\w", README))
    assert {"scripts/run_offline.py", "runs/digits/run.sh"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("example", blocks("python"))
def test_python_examples_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), namespace)
    if "out.wav" in example:
        assert (tmp_path / "out.wav").stat().st_size > 1000
