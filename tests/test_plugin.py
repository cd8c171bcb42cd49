"""A name in a sheet is a file in the package, and a wrong name gets the nearest right one."""

import sys

import pytest

from simmim import plugin
from simmim.config import component_settings
from simmim.plugin import Component


def test_every_file_of_every_kind_defines_one_component():
    for kind in ("masks", "encoders", "heads", "targets", "data.sources"):
        assert plugin.names(kind)
        for name in plugin.names(kind):
            assert isinstance(plugin.component(kind, name), type)


def test_a_section_becomes_a_component():
    assert plugin.build("masks", Component(name="random", ratio=0.4)).ratio == 0.4


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"name": "randm"}, "unknown masks name 'randm'; did you mean 'random'"),
        ({"name": "random", "rato": 0.5}, "unknown setting of masks=random 'rato'; did you mean 'ratio'"),
    ],
)
def test_unknown_names_and_settings_are_refused_with_the_nearest(section, message):
    with pytest.raises(ValueError, match=message):
        plugin.build("masks", Component(**section))


def test_a_file_that_cannot_be_imported_is_one_sentence(monkeypatch):
    def broken(name):
        raise SyntaxError("'(' was never closed", ("masks/random.py", 7, 1, "("))

    monkeypatch.setattr("importlib.import_module", broken)
    expected = r"simmim.masks.random cannot be imported \(SyntaxError: .*line 7\)\); mend its file"
    with pytest.raises(ValueError, match=expected):
        plugin._public_class("simmim.masks.random")


@pytest.mark.parametrize("classes", ["", "class A: ...\nclass B: ...\n"])
def test_a_file_without_its_one_class_is_named(tmp_path, monkeypatch, classes):
    (tmp_path / "odd_mask.py").write_text(classes)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_mask", raising=False)
    found = "A, B" if classes else "none"
    with pytest.raises(ValueError, match=f"odd_mask.py must define exactly one public class, it defines {found}"):
        plugin._public_class("odd_mask")


@pytest.mark.parametrize(
    ("text", "message"),
    [("class A(", r"a.py is not valid Python, or is damaged \(.*line 1"), ("", "a.py must define one")],
)
def test_settings_of_a_broken_file_are_one_sentence(tmp_path, text, message):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        component_settings._arguments(tmp_path / "a.py")


def test_a_folder_beside_the_files_of_a_kind_hides_none_of_them(tmp_path, monkeypatch):
    import simmim.masks

    (tmp_path / "of_two_files").mkdir()
    (tmp_path / "of_two_files" / "__init__.py").touch()
    known = plugin.names("masks")
    monkeypatch.setattr(simmim.masks, "__path__", [*simmim.masks.__path__, str(tmp_path)])
    assert plugin.names.__wrapped__("masks") == tuple(sorted([*known, "of_two_files"]))


def test_a_component_that_lacks_a_member_is_refused_when_it_is_made(monkeypatch):
    from simmim.targets.pixels import Pixels

    monkeypatch.delattr(Pixels, "in_pixel_units")
    with pytest.raises(
        ValueError, match=r"pixels.py lacks in_pixel_units; the docstring of simmim.targets says what that is"
    ):
        plugin.build("targets", Component(name="pixels"), image_channels=3)


@pytest.mark.parametrize("annotation", ["int[3]", "int | 'auto'", "Optional[int]"])
def test_an_annotation_that_no_simple_type_is_takes_any_value(annotation):
    assert component_settings._type(annotation) is component_settings.Any
