"""Columns that hold personal data, found in a sample by pattern, by checksum and by name. Plain functions, no calls.

Amazon Macie does this for whole buckets, with far more patterns; it is another service, with a price of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Found", "dni", "iban", "luhn", "scan"]

FEW = 20
"""Up to so many distinct values a column is a category, whatever its name says: `own_telephone` is yes or no."""
SHARE = 0.5
"""The share of values of a number's shape that must pass its checksum: of random digits, one in ten passes Luhn's."""


@dataclass(frozen=True)
class Found:
    """What was found in a column: `kind` of personal data, `hits` among `seen` values; `by` is values or name."""

    kind: str
    hits: int
    seen: int
    by: str


def luhn(text: str) -> bool:
    """Whether the digits pass the checksum of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    doubled = [d if at % 2 == 0 else 2 * d - 9 * (d > 4) for at, d in enumerate(digits)]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and sum(doubled) % 10 == 0


def iban(text: str) -> bool:
    """Whether the text passes the checksum of bank account numbers (ISO 13616: mod 97 is 1)."""
    plain = re.sub(r"\s", "", text).upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", plain, re.ASCII):
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def dni(text: str) -> bool:
    """Whether the letter of a Spanish identity number fits its digits (Real Decreto 1553/2005: mod 23)."""
    plain = text.upper().replace("-", "")
    return bool(re.fullmatch(r"\d{8}[A-Z]", plain, re.ASCII)) and (
        plain[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(plain[:8]) % 23]
    )


def _no_checksum(text: str) -> bool:
    return True


IN_TEXT = {
    "e-mail": (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63})+"), _no_checksum),
    "phone": (re.compile(r"(?<![\w+])(?:\+|00)[1-9]\d{0,2}(?:[ ()/.-]{0,2}\d){7,12}(?!\d)"), _no_checksum),
    "IBAN": (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), iban),
    "payment card": (re.compile(r"(?<![\d.-])\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}(?![\d.])"), luhn),
    "US social security number": (
        re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])"),
        _no_checksum,
    ),
    "UK national insurance number": (
        re.compile(r"\b(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?\d\d){3} ?[A-D]\b"),
        _no_checksum,
    ),
    "Spanish identity number": (re.compile(r"(?<!\w)\d{8}-?[A-Z](?!\w)"), dni),
}
"""What is looked for anywhere in a value: a pattern, and a checksum where there is one."""

BY_NAME = {
    "e-mail": r"e_?mail",
    "phone": r"(tele)?phone(_?(number|no))?|mobile_?(number|no)",
    "bank account": r"iban|account_?(number|no)",
    "payment card": r"card_?(number|no)",
    "national id": r"ssn|social_security.*|national_?id|passport.*|tax_?id",
    "name of a person": r"(first|last|full|family|given)_?name|surname",
    "address": r"(street|home|postal|ip)_?address|address|street",
    "date of birth": r"birth_?(date|day)|date_of_birth|dob",
}
"""What a column's name says, as a whole word of it, if its values are many."""


def scan(columns: Mapping[str, Iterable[Any]]) -> dict[str, Found]:
    """The columns that hold personal data, by name.

    Args:
        columns: the values of a sample by column. None and not-a-number count as missing; floats hold measurements, and
            only their column's name is looked at.
    """
    found = {}
    for name, values in columns.items():
        there = [value for value in values if value is not None and value == value]
        texts = [str(value) for value in there if not isinstance(value, float)]
        if hit := _in_values(texts) or _in_name(name, [str(value) for value in there]):
            found[name] = hit
    return found


def _in_values(texts: list[str]) -> Found | None:
    """The kind of which there is most, if any; a value of 50 kB is looked at in its first 2,000 characters."""
    best = None
    for kind, (pattern, right) in IN_TEXT.items():
        shaped = [[m.group() for m in pattern.finditer(text[:2000])] for text in texts]
        shaped = [matches for matches in shaped if matches]
        hits = sum(any(right(match) for match in matches) for matches in shaped)
        if hits and hits >= SHARE * len(shaped) and (best is None or hits > best.hits):
            best = Found(kind, hits, len(texts), "values")
    return best


def _in_name(name: str, texts: list[str]) -> Found | None:
    words = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    small = all(re.fullmatch(r"[-+]?\d{0,6}([.,]\d*)?", text.strip()) for text in texts)  # a measurement
    if small or len(set(texts)) <= FEW:
        return None
    for kind, pattern in BY_NAME.items():
        if re.search(rf"(^|_)({pattern})(_|$)", words):
            return Found(kind, len(texts), len(texts), "name")
    return None
