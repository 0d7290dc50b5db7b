r"""Addresses on the net, file names and paths.

    example.com/a?b=1       example dot com slash a question mark b equals one
    anna.bell@example.co.uk anna dot bell at example dot co dot uk
    192.168.0.1             one hundred ninety-two dot one hundred sixty-eight dot zero dot one
    README.md, node.js      README dot md, node dot js
    C:\Users\me               C colon backslash Users backslash me

Every dot in an address is said, so that no sentence ends there. The scheme is left out.
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.kinds.compounds import parts_of
from sled.normalization.pronunciations import frequent_words
from sled.normalization.rules import END, LETTER, LETTER_GAP, Rule, rule, spell, word_set

# Ends of host names. Other endings are taken for one after a scheme, www. or an at sign.
_TOP_LEVEL = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|app|dev|co|me|tv|fm|gg|ly|xyz|online|site|shop|store"
    "|blog|cloud|tech|news|live|wiki|page|world|club|museum|travel|jobs|mobi|eu|uk|us|de|fr|es|it"
    "|nl|be|ch|at|se|no|dk|fi|pl|cz|ru|ua|jp|cn|in|au|nz|ca|br|mx|ar|za|kr|ie|pt|gr|tr|il|sg|hk|tw"
)
# Those that are also words, or beginnings of sentences without a space before them.
_WORDS_TOO = word_set("me us in it no at be is so to my page news live world club jobs store")
_FILES = (
    "txt|md|rst|csv|tsv|json|jsonl|yaml|yml|toml|ini|cfg|conf|log|xml|html|htm|css|scss|js|jsx|ts"
    "|tsx|mjs|py|ipynb|rb|go|rs|c|h|cc|cpp|hpp|cs|java|kt|swift|php|pl|sh|bash|zsh|bat|ps1|sql|r"
    "|lua|vue|pdf|doc|docx|xls|xlsx|ppt|pptx|odt|rtf|tex|epub|png|jpg|jpeg|gif|svg|webp|bmp|tiff"
    "|ico|psd|mp3|mp4|wav|flac|ogg|m4a|avi|mov|mkv|webm|zip|tar|gz|bz2|xz|rar|7z|exe|dll|so|dmg|iso"
    "|apk|deb|rpm|bin|dat|db|bak|tmp|lock|env|pem|key|pt|onnx|safetensors"
)
_SAID_AS_WORDS = word_set(
    "json yaml toml log conf java swift vue doc tex jpeg gif wav ogg zip tar bin lock env key "
    "bash go bat iso kt tmp pages ini lua"
)
_EXTENSION = re.compile(rf"\.(?=(?:{_FILES})$)(?P<letters>[a-z]+?)(?P<digit>\d?)$")
_LABEL = rf"(?:{LETTER}|\d)(?:(?:{LETTER}|[\d_-])*(?:{LETTER}|\d))?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})+"
# A mark at the end of a word belongs to the sentence.
_REST = r"(?::\d+)?(?:[/?#](?:[^\s<>\"]*[\w/=~&+-])?)?"
_SCHEME = r"(?i:https?|ftps?|wss?|file|ssh|git|s3|sftp)://"

SIGN_NAMES = {
    ".": "dot",
    "/": "slash",
    "\\": "backslash",
    ":": "colon",
    "?": "question mark",
    "#": "hash",
    "=": "equals",
    "&": "and",
    "@": "at",
    "-": "dash",
    "_": "underscore",
    "~": "tilde",
    "%": "percent",
    "+": "plus",
    "*": "star",
    "$": "dollar",
}
_PART = re.compile(rf"\d+|{LETTER}+|[^\w\s]|_")


def say_address(text: str) -> str:
    """An address, with all of its signs."""
    words = []
    for part in _PART.findall(text):
        if part.isdigit():
            words.append(_digits(part))
        elif part.lower() == "www":
            words.append(spell(part).rstrip(LETTER_GAP) + LETTER_GAP)
        elif part.isupper() and 1 < len(part) < 5 and not frequent_words().find(part.lower()):
            words.append(spell(part))
        elif part.isalpha():
            words += parts_of(part)
        elif part in SIGN_NAMES:
            words.append(SIGN_NAMES[part])
    return " ".join(words)


def _digits(digits: str) -> str:
    if len(digits) == 4 and digits[0] != "0":
        return numbers.pairs(digits)
    if len(digits) > 4 or digits[0] == "0":
        return numbers.digit_by_digit(digits)
    return numbers.cardinal(digits)


def _say_url(match: Match[str]) -> str:
    host, rest = match["host"], match["rest"]
    return say_address(f"{host}{'' if rest == '/' else rest}")


def _say_host(match: Match[str]) -> str | None:
    ending = match["host"].rpartition(".")[2]
    is_bare = not match["rest"] and match["host"].count(".") == 1
    if is_bare and ending.lower() in _WORDS_TOO and not match["host"].islower():
        return None
    if not ending.islower() and not match["host"].isupper() and is_bare:
        return None  # the end of a sentence without a space: "it.It"
    return _say_url(match)


def _say_file(text: str) -> str:
    """The name of a file; its extension is spelled unless it is said as a word."""
    end = min((text + "#").index("#"), (text + "?").index("?"))
    name, part = text[:end], text[end:].removeprefix("#")
    named = _EXTENSION.search(name)
    if named is None:
        return say_address(text)
    letters, digit = named["letters"], named["digit"]
    said = letters if letters in _SAID_AS_WORDS else spell(letters)
    said += f" {numbers.cardinal(digit)}" if digit else ""
    return f"{say_address(name[: named.start()])} dot {said} {say_address(part)}".strip(" ")


def _say_ip(match: Match[str]) -> str | None:
    if any(int(part) > 255 for part in match["ip"].split(".")):
        return None
    said = " dot ".join(numbers.number(part, is_count=True) for part in match["ip"].split("."))
    return f"{said} {say_address(match['rest'])}".strip()


def _say_hexadecimal(text: str) -> str:
    """Hexadecimal digits one by one."""
    return " ".join(numbers.cardinal(one) if one.isdigit() else spell(one) for one in text)


def _say_mac(match: Match[str]) -> str:
    return ", ".join(map(_say_hexadecimal, re.split("[:-]", match[0])))


def _say_ip6(match: Match[str]) -> str | None:
    if not any(map(str.isdigit, match[0])):
        return None
    parts = re.findall("[0-9a-fA-F]+|[:/]", match[0])
    return " ".join(SIGN_NAMES.get(part) or _say_hexadecimal(part) for part in parts)


_HEX = "[0-9a-fA-F]"
# Objects of programs; behind other words a point without a space may end a sentence.
_OBJECTS = (
    "self|this|os|sys|np|pd|df|plt|math|torch|nn|tf|json|req|res|console|document|window|obj|arr"
    "|str|datetime|requests|logging|re|cls|props|event|config|ctx|db|cv2|jQuery"
)
_HOST_END = re.compile(rf"\.(?:{_TOP_LEVEL}|{_FILES})$")

BEGINS = r"(?=\S*[./\\@:]\S)|[0-9a-fA-F]{2}-|0[xX]"
RULES: list[Rule] = [
    rule(
        rf"(?<![\w:-]){_HEX}{{2}}(?P<sign>[:-])(?:{_HEX}{{2}}(?P=sign)){{4}}{_HEX}{{2}}{END}",
        _say_mac,
    ),
    rule(
        rf"(?<![\w:.])(?:(?={_HEX}{{0,4}}(?::{_HEX}{{1,4}})*::)(?:{_HEX}{{0,4}}:){{2,7}}{_HEX}{{0,4}}"
        rf"|(?:{_HEX}{{1,4}}:){{7}}{_HEX}{{1,4}})(?P<bits>/\d{{1,3}})?(?![\w:])",
        _say_ip6,
    ),
    rule(  # 0x1F
        rf"(?<![\w.])0[xX](?P<digits>{_HEX}+){END}",
        lambda m: f"zero {spell('x')}{_say_hexadecimal(m['digits'])}",
    ),
    rule(r"(?<![\w.])10\.\d{4,9}/[\w.()/:;-]*\w", lambda m: say_address(m[0])),  # a DOI
    rule(  # java.lang.String, np.array, self._name
        rf"(?<![\w.])(?:(?:{LETTER}|_)\w+\.){{2,}}(?=[A-Z]?[a-z]{{2}})[A-Za-z]\w*(?!\w|\.\w|@)"
        rf"|(?<![\w.])(?:{_OBJECTS})\.[A-Za-z_]\w*(?!\w|\.\w|@)",
        lambda m: None if _HOST_END.search(m[0]) else say_address(m[0]),
    ),
    rule(  # the name of a function, before its arguments
        r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?=\()", lambda m: say_address(m[0])
    ),
    rule(rf"{_SCHEME}(?P<host>[^\s/?#:<>\"]*[^\s/?#:<>\".,;!)\]'])(?P<rest>{_REST})", _say_url),
    rule(
        r"(?i:mailto:)?(?P<mail>[\w.+%-]+@(?![\d.]+(?![\w.]))" + _HOST + ")",
        lambda m: say_address(m["mail"]),
    ),
    rule(
        rf"(?<![\w.])(?P<ip>(?:\d{{1,3}}\.){{3}}\d{{1,3}})(?P<rest>/\d+|{_REST})(?![\w.]\w)",
        _say_ip,
    ),
    rule(rf"(?P<host>(?i:www)\.{_HOST})(?P<rest>{_REST})", _say_url),
    rule(rf"(?P<host>localhost)(?P<rest>:\d+{_REST}|/[\w/]*)", _say_url),
    # A host by its ending, a file by its extension. Digits alone before the point are a number.
    rule(
        rf"(?P<host>(?=[\w.-]*{LETTER}[\w-]*\.)(?:{_LABEL}\.)+(?i:{_TOP_LEVEL}))"
        rf"(?!\w|[.-]\w)(?P<rest>{_REST})",
        _say_host,
    ),
    rule(r"(?=\w*[a-z])[\w-]+(?:/[\w.-]+)+/?(?<!\.)", lambda m: _say_path(m[0])),
    rule(
        rf"(?=[\w.-]*{LETTER}[\w-]*\.)(?:[\w-]+\.)+(?:{_FILES})(?:#[\w-]+|\?\w+=[\w=&-]*)?{END}(?!\.\w)",
        lambda m: _say_file(m[0]),
    ),
    rule(
        r"(?<![\w.])\.(?:\.?/[\w./-]*\w|[a-z]{2,}\w*(?:\.[a-z]\w*)*|NET(?!\w))",
        lambda m: _say_file(m[0]),
    ),
    # Paths: C:\Users\me, /usr/local/bin, ~/notes, src/main.py.
    rule(r"[A-Za-z]:\\[^\s\"]*[\w\\]|\\\\?[\w.$-]+(?:\\[\w.$ -]+)+", lambda m: say_address(m[0])),
    rule(
        r"(?<![\w/.])(?!(?<=\))/\w(?!\w))(?:~?/|~/\.)\w[\w.~+-]*(?:/[\w.~+-]*)*(?:\?\w+=[\w=&%+-]*)?(?<!\.)",
        lambda m: _say_file(m[0]),
    ),
    rule(rf"(?<![\w.])@(?=\w*{LETTER})[\w.]*\w", lambda m: say_address(m[0])),
]


def _say_path(text: str) -> str | None:
    """A path of folders; dates and choices such as he/she/they are none."""
    return _say_file(text) if re.search(r"\.\w+$|_", text) else None
