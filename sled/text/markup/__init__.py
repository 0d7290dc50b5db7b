r"""Markup in a growing text: what is to be said of it, and pauses.

Text for speech often comes with markup: pauses as `[pause:0.8s]`, SSML, HTML, or the Markdown of
language models. `MarkupReader` returns the plain text, each piece with the characters that it comes
from, and the pauses.

| markup | what is returned |
|---|---|
| `[pause:0.8s]`, `[pause:800ms]`, `<break time="1s"/>` | a pause |
| tags of HTML and SSML | nothing, or the end of a paragraph, sentence or cell |
| `<sub alias="...">`, `<say-as interpret-as="characters">` | what is to be said instead |
| `[word](/phonemes/)`, `<phoneme ph="...">` | the word with its phonemes |
| `&amp;` and other entities | the character |
| `[text](address)`, `![text](address)` | the text |
| `# heading`, `**bold**`, `` `code` ``, `> quote` | the text, without the signs |
| `$x^2$`, `\(x^2\)`, `$$x^2$$`: TeX | the formula in words and signs |
| a fence of code | nothing if it names a programming language, else its lines |
| a row of a table | its cells with commas between them, and a full stop |

What only looks like markup stays: `x < 5`, `a<b`, `<3`, `2*3`, `snake_case`, `[1]`.

What may still become markup waits, but never for more than `MAX_WAIT` characters. So an unclosed
`<` or `[` becomes text.
"""

from __future__ import annotations

from sled.text.markup.events import Event, Pause, Words
from sled.text.markup.reader import MAX_WAIT, MarkupReader

__all__ = ["MAX_WAIT", "Event", "MarkupReader", "Pause", "Words"]
