"""Addresses on the net, file names and paths."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "https://example.com/path/to/page?id=42",
            "example dot com slash path slash to slash page question mark id equals forty-two",
        ),
        ("http://localhost:8080/api", "localhost colon eighty eighty slash api"),
        ("http://example.co.uk/", "example dot co dot uk"),
        ("git reset HEAD~3", "git reset head tilde three"),
        ("www.example.com.", "w w w dot example dot com."),
        ("anna.bell@example.co.uk, please", "anna dot bell at example dot co dot uk, please"),
        ("first-last+tag@mail.example.org", "first dash last plus tag at mail dot example dot org"),
        ("192.168.0.1", "one hundred ninety-two dot one hundred sixty-eight dot zero dot one"),
        ("10.0.0.1:8080", "ten dot zero dot zero dot one colon eighty eighty"),
        ("Go to example.de. It works.", "go to example dot de. it works."),
        ("README.md, node.js, notes.txt", "readme dot m d, node dot j s, notes dot t x t"),
        (
            "src/main.py and ~/Documents/file.txt",
            "src slash main dot p y and tilde slash documents slash file dot t x t",
        ),
        ("C:\\Users\\me", "c colon backslash users backslash me"),
        ("/usr/local/bin", "slash usr slash local slash bin"),
        (
            "config.yaml, image.png, song.mp3",
            "config dot yaml, image dot p n g, song dot m p three",
        ),
        ("@user on github.com/user/repo", "at user on github dot com slash user slash repo"),
        ("it.It is one.Two", "it. it is one. two"),
        (
            "error 0x1F at /api/v2?id=7&x=y",
            "error zero x one f at slash api slash v two question mark "
            "id equals seven and x equals y",
        ),
        (".env.local", "dot env dot local"),
        ("IMG_4032.jpg", "i m g underscore forty thirty-two dot j p g"),
        ("java.lang.Error in np.array. So.It", "java dot lang dot error in np dot array. so. it"),
    ],
)
def test_addresses_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
