"""Markup: what is said of it, where that comes from; any cut of the text gives the same."""

from copy import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sled.text.markup import MAX_WAIT, Event, MarkupReader, Pause, Words

# A text, and what is said of it: ⏸ with its seconds for a pause, {word|phonemes} for phonemes.
TABLE = {
    "pauses": {
        "One [pause:0.8s] two": "One ⏸0.8 two",
        "[pause:800ms]Hi": "⏸0.8Hi",
        "[PAUSE: 2 s] [pause=.5] [pause 1 second]": "⏸2 ⏸0.5 ⏸1",
        "[pause]": "⏸0.5",
        "[pause:0s]on": "on",
        "[pauses: three]": "[pauses: three]",
    },
    "ssml": {
        '<speak>Ready. <break time="1.5s"/> Go.</speak>': "Ready. ⏸1.5 Go.",
        "<break time='250ms' /><break/><break strength=\"none\"/>": "⏸0.25⏸0.5",
        '<break strength="strong"></break>': "⏸0.75",
        '<break time="soon"/>': "⏸0.5",
        "<s>One</s><s>Two.</s>": "\nOne.\n\nTwo.\n",
        '<sub alias="World Wide Web">WWW</sub>!': "World Wide Web!",
        '<say-as interpret-as="characters">AB12</say-as>': "A.B. 1 2",
        '<say-as interpret-as="digits">123</say-as>': "1 2 3",
        '<say-as interpret-as="ordinal">22</say-as>': "22nd",
        '<say-as interpret-as="date">1/2</say-as>': "1/2",
        '<phoneme alphabet="ipa" ph="pɪˈkɑːn">pecan</phoneme>s': "{pecan|pɪˈkɑːn}s",
        '<phoneme alphabet="x-sampa" ph="pI">pecan</phoneme>': "pecan",
        '<prosody rate="slow">Slow</prosody>, <emphasis>so</emphasis>': "Slow, so",
        '<amazon:effect name="whispered">Hush</amazon:effect>': "Hush",
        '<?xml version="1.0"?><speak>Hi</speak>': "Hi",
    },
    "html": {
        "a <b>bold</b> <a href='x'>link</a><br>next": "a bold link\nnext",
        "<p>One</p>Two.<p>Three": "\n\nOne.\n\nTwo.\n\nThree",
        "<ul><li>red</li><li>blue</li></ul>": "\n\n\nred.\n\nblue.\n\n\n",
        "<tr><td>a</td><td>b</td></tr>": "\n a, b.\n",
        '<img src="x.png" alt="A cat">': "A cat",
        "<!-- not\nthis -->that<!DOCTYPE html>": "that",
        "<script>if (a < b) c;</script>d": "d",
        "AT&T &amp; I &lt;b&gt; &#8364;5&nbsp;&hearts;": "AT&T & I <b> €5\xa0♥",
        "&nothing; Q&A; R&D": "&nothing; Q&A; R&D",
    },
    "no markup": {
        text: text
        for text in (
            "x < 5, a<b and c>d, I <3 you, a <- b, 5 <= 6 >= 4 <> 3, List<String>, <name>",
            "if a<b then c>d",
            "2*3, 2 * 3, snake_case, ~5, [1], [see below], f(x)[0], 5! and why?!",
            "C:\\dir \\n #tag 5 # 6 a|b a || b -5 - 6",
            "1. one\n2) two\n- three\n* four\n+ five\n",
            "unclosed [text (and <b text",
            "a\n\nb \t c\r\nd",
        )
    },
    "markdown": {
        "See [the docs](https://a.b/c_(d)?e#f 'title').": "See the docs.",
        "![A *small* cat](cat.png) [![build](b.svg)](u) [a][1] b[^2]": "A small cat build a b",
        "[1]: https://a.b 'title'\n[^2]: A note.": "\n A note.",
        "<https://a.b/c> and <me@a.org>": "https://a.b/c and me@a.org",
        "# Title\nText\n## Next ##\nMore": "Title.\n\nText\nNext .\n\nMore",
        "**bold** *it* _it_ __init__ ***both*** ~~gone~~": "bold it it init both gone",
        "*5 stars": "5 stars",
        '*"quoted"* (**so**) a*': '"quoted" (so) a*',
        "`a * b < c[0]` ``x`y``": "a * b < c[0] x`y",
        r"\*not\* 5 \< 6": "*not* 5 < 6",
        "> quoted\n> > twice": " quoted\n  twice",
        "- [ ] open\n- [x] done": "- open\n- done",
        "above\n---\nbelow\n* * *\n": "above\n\n\nbelow\n\n\n",
        "```python\nimport os\n```\nAfter": "\nAfter",
        "```\none\ntwo\n```\nAfter": "\none\ntwo\n\nAfter",
        "~~~ text\na `b`\n~~~": "\na `b`\n",
        "| a | b |\n|---|:-:|\n| 1. | 2 |\n|  | x |\nEnd": " a, b.\n\n\n 1. 2.\n x.\nEnd",
        r"| a \| b |": " a | b",
    },
    "pronunciation": {
        "[Kokoro](/kˈOkəɹO/) is": "{Kokoro|kˈOkəɹO} is",
        "[New York](/nˈu jˈɔɹk/)": "{New York|nˈu jˈɔɹk}",
        "[guide](/guide/) [über](/über/)": "guide über",
    },
}
CASES = [(text, said) for kind in TABLE.values() for text, said in kind.items()]
TEXTS = [text for text, _ in CASES]


def read(*pieces: str) -> list[Event]:
    reader = MarkupReader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return events + reader.finish()


def written(events: list[Event]) -> str:
    """Events as in the table."""
    found = ""
    for event in events:
        if isinstance(event, Pause):
            found += f"⏸{event.seconds:g}"
        else:
            found += f"{{{event.text}|{event.phonemes}}}" if event.phonemes else event.text
    return found


def characters(events: list[Event]) -> list[object]:
    """Events, with plain text as its characters, so that the cuts between them are not seen."""
    found: list[object] = []
    for event in events:
        is_plain = isinstance(event, Words) and len(event.text) == event.end - event.start
        if is_plain and not event.phonemes:
            found += [(event.start + i, one) for i, one in enumerate(event.text)]
        else:
            found.append(event)
    return found


@pytest.mark.parametrize(("text", "said"), CASES)
def test_table(text, said):
    assert written(read(text)) == said
    assert characters(read(*text)) == characters(read(text))


SIGNS = "<>[]()!&;*_~`|#\\/\"' \n=-:.aB1ə"
FRAGMENTS = st.sampled_from(
    [*TEXTS, "[pause:1s]", "<b", "</b>", "<sub alias='x'>", "```", "](", "\n| "]
)
MIXED = st.lists(FRAGMENTS | st.text(SIGNS, max_size=6), max_size=8).map("".join)


@given(MIXED, st.data())
def test_any_cut_gives_the_same(text, data):
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert characters(read(*pieces)) == characters(read(text))
    assert characters(read(*text)) == characters(read(text))


@given(MIXED)
def test_events_come_in_the_order_of_the_source_and_plain_text_is_its_own(text):
    place = 0
    for event in read(text):
        assert place <= event.start <= event.end <= len(text)
        place = event.end
        is_plain = isinstance(event, Words) and len(event.text) == event.end - event.start
        if is_plain and event.text.isalpha():
            assert text[event.start : event.end] == event.text


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_lines_may_end_as_on_windows(ending):
    """What ends a fence, a rule, a table and a heading."""
    lines = [
        *("Hi.", "```python", "import os", "```", "After.", "", "---", "", "## Title ##", ""),
        *("| a | b |", "|---|---|", "| one | two |", "", "End."),
    ]
    said = written(read(ending.join(lines))).replace("\r", "")
    assert said == written(read("\n".join(lines)))
    assert "After." in said and "End." in said and "import" not in said


@pytest.mark.parametrize("opening", ["", "[", "![", "(", "**", "<b "])
@pytest.mark.parametrize(
    "part",
    [
        *(
            "[a](b)",
            "![a](b)",
            "[a]",
            "!",
            "[",
            "](",
            "(",
            "\\",
            "\n",
            "`",
            "*",
            "_",
            "~~",
            "|",
            "$x",
        ),
        *("<b>", "<b a='", "&amp", "[^1]", "(/a/)", "[pause:1", "# ", "- ", "a_b", "**a", '"', "'"),
    ],
)
def test_no_text_takes_time_without_end(opening, part):
    """A rule that tries its alternatives in all combinations would never return."""
    reader = MarkupReader()
    for character in opening + part * 60 + "x":
        reader.feed(character)
    reader.finish()
    read(opening + part * 60)


@pytest.mark.parametrize("opening", ["<b ", "[", "[a](", "`", "<!--", "&", "<sub alias='a'>", "| "])
def test_waiting_is_bounded(opening):
    reader = MarkupReader()
    returned = 0
    for character in opening + "word " * MAX_WAIT:
        returned += sum(len(event.text) for event in reader.feed(character))
    assert returned >= 4 * MAX_WAIT


@given(MIXED, st.data())
def test_a_copy_goes_on_by_itself(text, data):
    cut = data.draw(st.integers(0, len(text)))
    reader = MarkupReader()
    before = reader.feed(text[:cut])
    other = copy(reader)
    reader.feed("<b>[x](y) **z")
    assert characters([*before, *other.feed(text[cut:]), *other.finish()]) == characters(read(text))
