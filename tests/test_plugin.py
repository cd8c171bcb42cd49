"""A name in a sheet is a file in the package, and a wrong name gets the nearest right one."""

import pytest

from simmim import plugin
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
