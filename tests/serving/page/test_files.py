"""What the server sends to the browser, without one."""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import httpx
import pytest

from sled.serving.page.router import FILES
from tests.serving.conftest import Running

SCRIPTS = [name for name in FILES if name.endswith(".js")]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def read(name: str) -> str:
    return FILES[name].read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["/", *(f"/page/{name}" for name in sorted(FILES))])
def test_each_file_is_sent_with_headers_that_confine_it(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    expected = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    suffix = path.rpartition(".")[2]
    assert answer.headers["content-type"].split(";")[0] == expected.get(suffix, "text/html")


@pytest.mark.parametrize("name", ["nothing.js", "..%2Frouter.py", "%2e%2e/router.py", "index.htm"])
def test_only_files_of_the_page_are_sent(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_the_page_needs_no_key_but_speaking_does(serve) -> None:
    running: Running = serve(keys=["secret"])
    with httpx.Client(base_url=running.url) as client:
        assert client.get("/").status_code == 200
        assert client.get("/page/main.js").status_code == 200
        assert client.get("/page/nothing").status_code == 404
        assert client.post("/page/main.js").status_code == 401
        assert client.post("/v1/audio/speech", json={"input": "one"}).status_code == 401


def test_the_document_has_no_inline_code_and_asks_for_nothing_outside() -> None:
    parser = Tags()
    parser.feed(read("index.html"))
    for tag, attributes in parser.tags:
        assert tag != "style" and "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if tag == "script":
            assert attributes["src"]
        for name in ("src", "href"):
            parts = urlsplit(attributes.get(name) or "")
            assert not parts.netloc and not parts.path.startswith("/")
    ids = [attributes["id"] for _, attributes in parser.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    outside = [name for name in FILES if re.search(r"(https?:)?//\w+\.", read(name))]
    assert outside == ["icon.svg"]  # the name of its XML format
    assert "url(" not in read("style.css") and "@import" not in read("style.css")


def test_modules_are_short() -> None:
    assert {
        name: len(read(name).splitlines()) for name in SCRIPTS if read(name).count("\n") > 300
    } == {}
