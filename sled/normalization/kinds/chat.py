"""Spellings of chats and text messages.

thx 4 ur help, u r gr8      thanks for your help, you are great
im sure it wont, c u 2nite  i'm sure it won't, see you tonight
brb, idk, np                b r b, i d k, n p: letters that people say as letters
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization.rules import Rule, before, rule, spell, word_set, word_table

# Other spellings of words; those that may be words themselves are not here.
_WORDS = word_table(
    "ur=your sry=sorry soz=sorry bday=birthday pls=please plz=please plss=please "
    "thx=thanks thanx=thanks thnx=thanks tks=thanks thnks=thanks tmrw=tomorrow tmr=tomorrow "
    "tmw=tomorrow msg=message msgs=messages txt=text rly=really rlly=really srsly=seriously "
    "obv=obviously obvs=obviously omw=on_my_way cya=see_ya thru=through tho=though luv=love "
    "altho=although nite=night tonite=tonight cuz=because coz=because yest=yesterday abt=about "
    "nvr=never wut=what wht=what tht=that skool=school gud=good btwn=between wknd=weekend "
    "prolly=probably probs=probably shud=should wud=would shld=should wld=would cld=could hv=have "
    "smth=something sum1=someone"
)
_APOSTROPHES = {
    word.replace("'", ""): word
    for word in word_set(
        "i'm i've you're you've they're they've we've don't doesn't didn't won't can't couldn't "
        "wouldn't shouldn't isn't aren't wasn't weren't haven't hasn't hadn't that's what's "
        "there's here's where's who's how's he's she's y'all"
    )
}
_SPELLINGS = _WORDS | _APOSTROPHES
_SPELLINGS |= {short.capitalize(): word.capitalize() for short, word in _SPELLINGS.items()}
_SPELLINGS |= {short.upper(): _WORDS[short].upper() for short in ("thx", "pls", "plz", "omw")}
# With digits, in any case.
_WITH_DIGITS = word_table(
    "gr8=great gr8ful=grateful l8r=later l8=late m8=mate h8=hate w8=wait str8=straight "
    "2nite=tonight 2night=tonight 2day=today 2moro=tomorrow 2morrow=tomorrow 2mrw=tomorrow "
    "4ever=forever 4eva=forever 4get=forget any1=anyone every1=everyone some1=someone"
)
# Letter by letter, also in small letters.
SPELLED = word_set(
    "aka btw idk tbh fyi omg brb imo imho ftw tldr rsvp ttyl diy faq rn dm dms afaik fwiw iirc "
    "irl lmk ngl idek nvm smh gtg tfw ootd ily ilysm tysm tyvm hmu nbd ikr jk idc lmao lmfao wtf "
    "np ty hbu wbu wyd wya bff bffs afk eod eow cob wfh lgtm iykyk istg icymi aita nsfw tba tbd "
    "tbc ttys asl otoh gn gm bf gf"
)
_VERB = (
    "r|are|were|ok|okay|there|guys|coming|going|got|get|know|want|need|can|could|should|would|have"
    "|had|gonna|gotta|wanna|will|do|did|(?:do|did|wo|ca|are|were|have)n?'?t|see|say|said|think|like|love|up|free|home|still"
    "|just|never|always|might|must|2|too|all|both|and|at|in|on|for|to|so|later|tomorrow|tmrw"
)
_BEFORE_YOU = word_set(
    "are r were do did can could will would where how why c see love luv miss need want thank "
    "thanks tell told give gave for 4 to 2 with w/ hey hi yo ok hope get got call text meet help "
    "show believe wish bless ask"
)
_PREVIOUS_TO_ARE = word_set("u you we they there what where how who why these those")
_BEFORE_FOR = word_set(
    "thx thanks thank ty sm tysm much wait waiting good bad look looking ready here there love luv "
    "sorry sry present gift big late l8 perfect great gr8 care pray it"
)
_MARK = re.compile(r"[.,;:!?)\"']*$|[!?,.]")


def _say_you(match: Match[str]) -> str | None:
    """The u of "r u ok", but not a variable: before a verb, or behind a word that goes with it."""
    behind = match.string[match.end() : match.endpos]
    if re.match(rf" (?:{_VERB})(?![\w'/])", behind):
        return "you"
    is_end = _MARK.match(behind) is not None or re.match(r" [a-z\d]", behind) is not None
    return "you" if is_end and before(match).lower().lstrip("\"'(") in _BEFORE_YOU else None


def _say_spelling(match: Match[str]) -> str | None:
    word = match[0]
    if word in SPELLED:
        return spell(word)
    if len(word) == 2 and not word.islower():
        return _SPELLINGS.get(word)  # M8 is a bolt
    return _SPELLINGS.get(word) or _WITH_DIGITS.get(word.lower())


def _is_chat(match: Match[str]) -> bool:
    """Whether 4 stands before u or ur."""
    return re.match(r" (?:u|ya|ur)(?!\w)", match.string[match.end() : match.endpos]) is not None


def _say_too(match: Match[str]) -> str | None:
    """Me 2!"""
    return "too" if _MARK.match(match.string[match.end() : match.endpos]) else None


BEGINS = "(?i:[a-z0-9])"
RULES: list[Rule] = [
    rule(r"(?<![\w'.@/-])(?=[A-Za-z\d]{2})[A-Za-z\d]+(?![\w'/@-]|\.\w)", _say_spelling),
    rule(r"(?<!\w)b4(?= [a-z]{2})", "before", begins="b4$", reach=1),
    rule(
        r"(?<![\w'.@#/(-])[uU](?![\w'@/.-]|\()(?! [=<>+*/×^])",
        _say_you,
        begins="[uU]$",
        reach=1,
    ),
    rule(
        r"(?<![\w'.@#/-])[rR](?= (?:u|you|we|they|there|ya)(?![\w']))",
        "are",
        begins="[rR]$",
        reach=1,
    ),
    rule(
        r"(?<![\w'.@#/-])r(?![\w'@/.-])",
        lambda m: "are" if before(m).lower() in _PREVIOUS_TO_ARE else None,
    ),
    rule(r"(?<![\w'.@#/-])[cC](?= (?:u|ya)(?![\w'=]))", "see", begins="[cC]$", reach=1),
    rule(r"(?<![\w'.@#/-])[yY](?= (?:not|r|u|do|did|so)(?![\w']))", "why", begins="[yY]$", reach=1),
    rule(
        r"(?<![\w'.@#/$-])4(?= (?:u|ya|ur|ever|me|the|us|him|them|it|this|that|my|now|real)"
        r"(?![\w'=]))",
        lambda m: "for" if before(m).lower() in _BEFORE_FOR or _is_chat(m) else None,
        begins="4$",
        reach=1,
    ),
    rule(
        r"(?<=[a-z] )2(?= (?:u|ya|b|be|go|do|see|get|know|eat|say|come|talk|sleep|leave|make|meet"
        r"|find|tell)(?![\w'=]))",
        "to",
        begins="2$",
        reach=1,
    ),
    rule(r"(?:(?<=[mM]e )|(?<=\bu ))2(?![\w.,:/%-]\w)", _say_too),
]
