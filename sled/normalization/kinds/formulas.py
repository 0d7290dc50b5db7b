"""Chemical formulas, ions and isotopes, and strands of DNA.

CO2, H₂O, NaCl          c o two, h two o, n a c l
SO₄²⁻, Na⁺, OH⁻         s o four two minus, n a plus, o h minus
¹⁴C, ²³⁵U, ¹⁴CO₂        carbon fourteen, uranium two thirty-five, carbon fourteen o two
5'-ATG-3', the 3' end   five prime a t g three prime, the three prime end
"""

from __future__ import annotations

import re
from re import Match

from sled.normalization import numbers
from sled.normalization.rules import END, Rule, rule, so_far, spell, word_table

_NAMES = word_table(
    "H=hydrogen He=helium Li=lithium Be=beryllium B=boron C=carbon N=nitrogen O=oxygen F=fluorine "
    "Ne=neon Na=sodium Mg=magnesium Al=aluminum Si=silicon P=phosphorus S=sulfur Cl=chlorine "
    "Ar=argon K=potassium Ca=calcium Ti=titanium V=vanadium Cr=chromium Mn=manganese Fe=iron "
    "Co=cobalt Ni=nickel Cu=copper Zn=zinc As=arsenic Se=selenium Br=bromine Kr=krypton "
    "Rb=rubidium Sr=strontium Zr=zirconium Mo=molybdenum Ag=silver Cd=cadmium Sn=tin Sb=antimony "
    "I=iodine Xe=xenon Cs=cesium Ba=barium W=tungsten Pt=platinum Au=gold Hg=mercury Pb=lead "
    "Bi=bismuth U=uranium Pu=plutonium Ra=radium Rn=radon Th=thorium"
)
_ELEMENT = f"(?:{'|'.join(sorted(_NAMES, key=len, reverse=True))})"
_GROUP = rf"(?:{_ELEMENT}\d*|\((?:{_ELEMENT}\d*)+\)\d*)"
# Those without digits that are no words.
_PLAIN_FORMULAS = "NaCl|NaOH|HCl|KCl|KOH|HBr|HF|AgCl|CuO|MgO|CaO|FeO|ZnO|NaF"


def _say_formula(text: str) -> str:
    """Its symbols are spelled."""
    parts = re.findall(r"\d+|[A-Za-z]", text)
    return " ".join(numbers.cardinal(part) if part.isdigit() else spell(part) for part in parts)


def _say_ion(match: Match[str]) -> str:
    charge = f"{numbers.cardinal(match['charge'])} " if match["charge"] else ""
    sign = "plus" if match["sign"] == "+" else "minus"
    return f"{_say_formula(match['formula'])} {charge}{sign}"


def _say_isotope(match: Match[str]) -> str:
    said = f"{_NAMES[match['element']]} {numbers.pairs(match['mass'])}"
    return f"{said} {_say_formula(match['rest'])}" if match["rest"] else said


def _say_strand(match: Match[str]) -> str:
    ends = [f"{numbers.cardinal(match[name])} prime" for name in ("one", "two")]
    bases = re.sub("[^A-Za-z]", "", match["bases"] or "")
    return f"{ends[0]} {spell(bases) if bases else 'to '}{ends[1]}"


_CODONS = re.compile(r"\b(?i:codons?|triplets?),?(?: [ACGTU]{3},?(?: and| or)?)* $")
_BASES = "[ACGTUNacgtun]"
_SERIAL = re.compile(r"\d{4}|(?<=[A-Z])0\d")  # INC0045123
# On both sides of the arrow of a reaction: 2H₂ + O₂ → 2H₂O.
_SUBSTANCE = rf"\d{{0,2}}(?=\w*\d|{_PLAIN_FORMULAS}){_GROUP}+"
_REACTANT = re.compile(rf"(?<![\w]){_SUBSTANCE} $")
_PRODUCT = re.compile(rf" {_SUBSTANCE}(?!\w)")
BEGINS = rf"→|[35]'|[ACGTU]{{3}}|\d\d?[A-Z]|\^\d|e\^[-−]|\(?{_ELEMENT}"
RULES: list[Rule] = [
    rule(
        rf"(?<![\w.,])(?P<one>[35])'(?:[- ]{{0,2}}(?P<bases>{_BASES}{{3,}}(?:[- ]{_BASES}{{2,}})*)"
        r"[- ]{0,2}|(?:[- ]?to[- ]?|[- →]?))(?P<two>[35])'(?!\w)",
        _say_strand,
        begins=r"[35]'",
        reach=9,
        goes_on=so_far(rf"[35]'(?:[- ]+{_BASES}+|[- ]?to)*-?"),
    ),
    rule(
        r"(?<![\w.,])(?P<end>[35])'(?=[- ]?(?:UTRs?|OH|PO|ends?|caps?|untranslated|overhangs?"
        r"|splice|flanking|exonuclease|phosphates?|hydroxyl|terminus|terminal|region|strand)(?![a-z]))",
        lambda m: f"{numbers.cardinal(m['end'])} prime",
        begins=r"[35]'$",
        reach=1,
    ),
    rule(r"(?<!\w)(?:[ACGT]{6,}|[ACGU]{6,})(?!\w)", lambda m: spell(m[0])),
    rule(
        r"(?<!\w)[ACGTU]{3}(?!\w)",
        lambda m: spell(m[0]) if _CODONS.search(m.string, 0, m.start()) else None,
    ),
    rule(
        rf"(?<![\w)])\^(?P<mass>\d{{1,3}})(?P<element>{_ELEMENT})(?P<rest>{_GROUP}*){END}",
        _say_isotope,
    ),
    rule(
        rf"(?<!\w)(?P<formula>{_GROUP}+|e)\^(?P<charge>\d*)(?P<sign>[-−+])(?![\w^])",
        _say_ion,
    ),
    rule(
        rf"(?<!\w)(?!WW[12]{END})(?=\w*[A-Z])(?=[A-Za-z()]*\d){_GROUP}{{2,}}{END}",
        lambda match: None if _SERIAL.search(match[0]) else _say_formula(match[0]),
    ),
    rule(  # 2Fe
        rf"(?<![\w.,])(?P<number>\d\d?)(?P<element>Fe|Al|Na|Mg|Ca|Zn|Cu|Ag|Cl|Br|Li|Mn|Pb|Sn){END}",
        lambda m: f"{numbers.cardinal(m['number'])} {spell(m['element'])}",
    ),
    rule(
        "→",
        lambda m: (
            "yields"
            if _REACTANT.search(m.string, 0, m.start())
            and _PRODUCT.match(m.string, m.end(), m.endpos)
            else None
        ),
        begins="→$",
        reach=1,
    ),
    rule(rf"(?<!\w)(?:CO|NO|SO|O|N|H)\d{END}", lambda match: _say_formula(match[0])),
    rule(rf"(?<!\w)(?:{_PLAIN_FORMULAS}){END}", lambda match: spell(match[0])),
]
