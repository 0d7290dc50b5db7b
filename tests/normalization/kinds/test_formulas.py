"""Chemical formulas, ions and isotopes, and strands of DNA."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("CO2, H₂O, C6H12O6", "c o two, h two o, c six h twelve o six"),
        ("Ca(OH)2 and NaCl", "c a o h two and n a c l"),
        ("SO₄²⁻, NH₄⁺, PO₄³⁻", "s o four two minus, n h four plus, p o four three minus"),
        ("Na⁺, Ca²⁺, Cl⁻, OH⁻", "n a plus, c a two plus, c l minus, o h minus"),
        ("SO4^2- or e⁻", "s o four two minus or e minus"),
        ("¹⁴C, ⁶⁰Co and ²³⁵U", "carbon fourteen, cobalt sixty and uranium two thirty-five"),
        ("¹⁴CO₂, ¹³C-NMR", "carbon fourteen o two, carbon thirteen n m r"),
        ("x², N² and 10⁻³", "x squared, n squared and ten to the minus three"),
        ("He is in B", "he is in b"),
        ("5'-ATG-3'", "five prime a t g three prime"),
        ("5′-AUG GCC-3′ strands", "five prime a u g g c c three prime strands"),
        ("from 5' to 3', 5'→3'", "from five prime to three prime, five prime to three prime"),
        ("the 5' cap, the 3'UTR", "the five prime cap, the three prime u t r"),
        ("a codon, AUG or UGA; GATTACA", "a codon, a u g or u g a; g a t t a c a"),
        ("2H₂ + O₂ → 2H₂O, A → B", "two h two plus o two yields two h two o, a - b"),
    ],
)
def test_formulas_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
