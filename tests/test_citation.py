"""License and citation: the files that tools read, and the same answer in each."""

import re
import tomllib
from pathlib import Path

import yaml

import simmim

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_software_can_be_cited():
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert CITATION["message"] and CITATION["title"] and all(author["name"] for author in CITATION["authors"])
    assert CITATION["version"] == simmim.__version__


def test_the_paper_is_cited_with_it():
    (paper,) = CITATION["references"]
    assert paper["title"] == "SimMIM: A Simple Framework for Masked Image Modeling" and paper["year"] == 2022
    assert paper["type"] == "conference-paper" and len(paper["authors"]) == 8
    assert all(author.keys() == {"family-names", "given-names"} for author in paper["authors"])
    assert "2111.09886" in paper["url"] and "2111.09886" in paper["identifiers"][0]["value"]


def test_the_license_is_the_same_everywhere_and_whole():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == CITATION["license"] == "Apache-2.0" and project["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n" in text and "Version 2.0, January 2004" in text and "END OF TERMS AND CONDITIONS" in text
    assert re.findall(r"^ {3}(\d+)\. ", text, re.MULTILINE) == [str(number) for number in range(1, 10)]
