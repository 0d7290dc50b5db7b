"""The documentation is checked: its Python runs, its commands are understood, its links lead on."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import soundfile

from sled.cli.commands import COMMANDS, GROUPS, find_command
from sled.cli.main import build_parser
from tests.commands import run
from tests.debug import SAMPLE_RATE, debug_waveform

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/*.md",
        "sled/bundled/*/*.md",
        "runs/*/*.md",
    )
    for path in sorted(ROOT.glob(pattern))
}


def blocks(text: str, language: str) -> list[str]:
    """Fenced code blocks of a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def fenced_commands(text: str) -> list[str]:
    """Commands of `sled` in the fenced blocks of a page, from the word `sled` on."""
    lines = "".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
    calls = (re.search(r"(?:^|/| )(sled .*?)(?: [#|&] .*|$)", line) for line in lines)
    return [call[1] for call in calls if call]


def inline_commands(text: str) -> list[str]:
    """Commands between backquotes, which may be fragments."""
    return re.findall(r"`(sled [^`]*)`", text.replace("\n", " "))


def words_of(command: str) -> list[str]:
    """Words after `sled`; prompts and dots at the end are left out."""
    return [word for word in shlex.split(command)[1:] if word != "..."]


def anchors(text: str) -> set[str]:
    """Names of the headings of a page, as links use them."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_commands_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    """Whole commands are parsed; of fragments, the command and its flags must exist."""
    found = []
    for page, text in PAGES.items():
        found += [(page, command, "..." not in command) for command in fenced_commands(text)]
        found += [(page, command, False) for command in inline_commands(text)]
    assert len(found) > 80
    explained: dict[str, str] = {}
    for page, command, complete in found:
        words = words_of(command)
        name = find_command(words)
        flags = [word for word in words if word.startswith("--")]
        if name is None:
            assert words in ([], ["COMMAND"]) or words[0] in GROUPS or flags == words, (
                page,
                command,
            )
        elif complete and not COMMANDS[name].own_parser:
            build_parser(name).parse_args(words)
        elif flags:
            # Models of speech tokens are trained with flags of their own.
            has_family = name == "train" and "--family" in flags
            family = ["--family", "cosyvoice2"] if has_family else []
            key = " ".join([name, *family])
            if key not in explained:
                help_flag = "--help-all" if COMMANDS[name].own_parser else "--help"
                assert run(name, *family, help_flag) == 0
                explained[key] = capsys.readouterr().out
            assert [one for one in flags if one not in explained[key]] == [], (page, command)


@pytest.mark.parametrize("page", ["README.md", "docs/streaming.md"])
def test_commands_with_the_small_model_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their order, each with the files that those before it have written."""
    monkeypatch.chdir(tmp_path)
    for command in fenced_commands(PAGES[page]):
        if "--model digits" in command:
            assert run("", *words_of(command)) == 0, command


def sample_lines() -> dict[str, dict[str, str]]:
    """Of each form of a corpus, the files and a line of each, as docs/training.md shows them."""
    forms: dict[str, dict[str, str]] = {}
    name = ""
    for row in re.findall(r"^\| .* \|$", PAGES["docs/training.md"], flags=re.MULTILINE):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        if len(cells) != 3:
            continue
        files, lines = (re.findall(r"`([^`]*)`", cell) for cell in cells[1:])
        name = cells[0].strip("`") or name
        if find_command(["prepare", name]) and files and lines:
            forms.setdefault(name, {})[files[0]] = lines[0].replace("\\|", "|")
    return forms


def test_sample_lines_of_corpora_can_be_prepared(tmp_path: Path) -> None:
    forms = sample_lines()
    assert forms.keys() == {"jsonl", "metadata-csv", "kaldi", "libritts"}
    recording = debug_waveform(3.0)
    for name in ("recordings/0001", "0001", "84/121123/84_121123_000007_000001"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", recording, SAMPLE_RATE)
    for form, files in forms.items():
        folder = tmp_path / "84" / "121123" if form == "libritts" else tmp_path
        for file, line in files.items():
            (folder / file).write_text(re.sub(" {2,}", "\t", line) + "\n", encoding="utf-8")
        given = folder / next(iter(files)) if form == "jsonl" else folder
        output = tmp_path / f"prepared {form}"
        assert run(f"prepare {form}", "--input", given, "--output", output) == 0, form
        for file in files:
            (folder / file).unlink()


def test_continuous_integration_runs_the_test_command_of_the_readme() -> None:
    (command,) = (
        block.strip() for block in blocks(PAGES["README.md"], "bash") if "pytest" in block
    )
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_files_and_links_of_a_page_lead_somewhere(page: str) -> None:
    # What git ignores may exist here, but not in a clone.
    left_out = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "runs", "docs"]
    ignored = subprocess.run(left_out, cwd=ROOT, capture_output=True, text=True, check=False)
    not_in_a_clone = {ROOT / name for name in ignored.stdout.splitlines()}
    text = PAGES[page].replace("\\_", "_")
    named = set(re.findall(r"(?<![\w/.$])(?:scripts|runs|sled|tests|docs)/[\w./-]*\w", text))
    made_by_runs = {name for name in named if "/out" in name or "checkpoint-" in name}
    assert [name for name in sorted(named - made_by_runs) if not (ROOT / name).exists()] == []
    without_code = re.sub(r"```.*?```|``.*?``|`[^`]*`", "", text, flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)]*)\)", without_code):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = ROOT / page if not path else (ROOT / page).parent / path
        assert target.exists() and target.resolve() not in not_in_a_clone, link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(block, id=f"{page}-{number}")
        for page, text in PAGES.items()
        for number, block in enumerate(blocks(text, "python"))
    ],
)
def test_python_examples_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "example"}
    exec(compile(example, "example", "exec"), namespace)
    if "out.wav" in example:
        assert (tmp_path / "out.wav").stat().st_size > 1000
