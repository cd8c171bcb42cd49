"""What a user may have mistyped on the command line: one sentence with the nearest verb or option."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from simmim.plugin import check_choice


class Parser(argparse.ArgumentParser):
    """Raises where argparse would print how all is used; options are written out."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings, allow_abbrev=False)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong, as a user's mistake.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"{message} (`{self.prog} --help` has all)")


def check_words(words: Sequence[str], verbs: Mapping[str, argparse.ArgumentParser]) -> None:
    """Refuse an unknown verb, or an unknown option of a verb, with the nearest.

    Raises:
        ValueError: that sentence.
    """
    if not words or words[0].startswith("-"):
        return
    verb, *rest = words
    check_choice("verb", verb, verbs)
    options = verbs[verb]._option_string_actions
    for word in rest:
        if word.startswith("--"):
            check_choice(
                f"option of `simmim {verb}`", word.partition("=")[0], [each for each in options if len(each) > 2]
            )


def path(text: str) -> Path:
    """A path whose `~` is the home folder, also where the shell has left it (`--out=~/x`)."""
    return Path(text).expanduser()
