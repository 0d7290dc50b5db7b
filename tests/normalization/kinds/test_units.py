"""Quantities."""

import pytest

from sled.normalization import normalize


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("5 m, 1 m, 5m²", "five meters, one meter, five square meters"),
        ("200g of flour, 2L", "two hundred grams of flour, two liters"),
        ("60W, 220V, 90dB", "sixty watts, two hundred twenty volts, ninety decibels"),
        ("100ms, 45s", "one hundred milliseconds, forty-five seconds"),
        (
            "30 m/s, 9.8 m/s²",
            "thirty meters per second, nine point eight meters per second squared",
        ),
        ("5 MB/s, 100Mbps", "five megabytes per second, one hundred megabits per second"),
        ("100 kWh, 5 kΩ", "one hundred kilowatt hours, five kilohms"),
        ("1 g/cm3, 20 kg/m³", "one gram per cubic centimeter, twenty kilograms per cubic meter"),
        (
            "2 W/m²K, 2 W/(m²·K)",
            "two watts per square meter kelvin, two watts per square meter kelvin",
        ),
        ("4 J/gK, 8 J/(mol K)", "four joules per gram kelvin, eight joules per mole kelvin"),
        (
            "5 mg/kg/day, 9 m s⁻²",
            "five milligrams per kilogram per day, nine meters per second squared",
        ),
        (
            "60 mL/min/1.73 m²",
            "sixty milliliters per minute per one point seven three square meters",
        ),
        (
            "6 L/100 km, 200 mg/5 mL",
            "six liters per one hundred kilometers, two hundred milligrams per five milliliters",
        ),
        ("a 100m dash, 50m freestyle", "a one hundred meter dash, fifty meter freestyle"),
        (
            '1-1/4" pipe, 2-3/4 in. long',
            "one and one quarter inch pipe, two and three quarters inches long",
        ),
        ("5 N·m", "five newton meters"),
        ("50 m², 5 sq ft", "fifty square meters, five square feet"),
        ("2 tbsp. of oil, 5 yrs.", "two tablespoons of oil, five years."),
        ("10 lbs. Then", "ten pounds. then"),
        ("6 ft. 2 in.", "six feet two inches."),
        ("5'10\" tall", "five foot ten tall"),
        ("5ft 10in", "five feet ten inches"),
        ("32 fl. oz. a day", "thirty-two fluid ounces a day"),
        ('a 12" pizza', "a twelve inch pizza"),
        ("8.5 x 11 in", "eight point five by eleven inches"),
        ("5 in the room, 5 in. long", "five in the room, five inches long"),
        (
            "−10 °C, 72°F, 20C",
            "minus ten degrees celsius, seventy-two degrees fahrenheit, twenty degrees celsius",
        ),
        ("50%, 5-10%", "fifty percent, five to ten percent"),
        ("5–10 km", "five to ten kilometers"),
        ("a 5 km run, a 60W bulb", "a five kilometer run, a sixty watt bulb"),
        ("a 5-km run", "a five kilometer run"),
        ("a 45° angle", "a forty-five degree angle"),
        ("in kWh and km/h", "in kilowatt hours and kilometers per hour"),
        ("Apt. 20C", "apartment twenty c"),
        ('24"W x 18" D', "twenty-four inches wide by eighteen inches deep"),
        ('2" of oil, a 9×13" pan', "two inches of oil, a nine by thirteen inch pan"),
        ("a 5-qt. Dutch oven, 6+ mos. old", "a five quart dutch oven, six plus months old"),
        (
            "150 mM, 66 Ma, 5 U/mL",
            "one hundred fifty millimolar, sixty-six million years, five units per milliliter",
        ),
        ("5 mi N on US-101, km 14", "five miles north on u s one oh one, kilometer fourteen"),
        ("2 c. of flour, one 200mg tablet", "two cups of flour, one two hundred milligram tablet"),
        (
            "6,220 M⁻¹cm⁻¹, 5 s⁻¹",
            "six thousand two hundred twenty per molar per centimeter, five per second",
        ),
        (
            "my 1.5 GB back, a 2TB NVMe SSD",
            "my one point five gigabytes back, a two terabyte n v m e s s d",
        ),
        (
            "375 deg. F, 3'45\", a 5/8-in. bolt",
            "three hundred seventy-five degrees fahrenheit, three minutes forty-five seconds, "
            "a five eighths inch bolt",
        ),
        ("10 ft. x 12 ft. room", "ten feet by twelve feet room"),
        (
            "a 12 oz. can, a 3-pt. line, 10W-30",
            "a twelve ounce can, a three point line, ten w thirty",
        ),
        (
            "68°F–72°F, wait a sec",
            "sixty-eight degrees fahrenheit to seventy-two degrees fahrenheit, wait a sec",
        ),
        (
            '12" x 9" x 4", 4.5 billion yrs. old',
            "twelve by nine by four inches, four point five billion years old",
        ),
        (
            "1/4 c sugar at 325 F for 1 hr",
            "one quarter cup sugar at three hundred twenty-five degrees fahrenheit for one hour",
        ),
        ('"1984" by Orwell, 1" margins', '"nineteen eighty-four" by orwell, one inch margins'),
    ],
)
def test_units_are_said(written: str, said: str) -> None:
    assert normalize(written, "english").strip() == said
