"""The plane is a picture that any XML reader can read, with every point where its numbers say."""

from __future__ import annotations

from xml.etree import ElementTree

from sizewise.evals.cost_quality_plot import PlotPoint, draw_plot

SVG = "{http://www.w3.org/2000/svg}"


def circles(picture: str) -> list[tuple[float, float, str]]:
    found = ElementTree.fromstring(picture).iter(f"{SVG}circle")
    return [(float(each.attrib["cx"]), float(each.attrib["cy"]), each.attrib["fill"]) for each in found]


def test_dearer_is_further_right_and_better_is_higher() -> None:
    dots = [PlotPoint("small", 0.1, 0.6), PlotPoint("large", 1.0, 1.0), PlotPoint("ours", 0.5, 0.95, 0.93, 0.97, 0.02)]
    small, large, ours = circles(draw_plot("a < b & c", {"random": [(0.1, 0.6), (1.0, 1.0)]}, dots, 0.9))
    assert small[0] < ours[0] < large[0] and small[1] > ours[1] > large[1]


def test_what_was_not_measured_is_open_and_says_so() -> None:
    picture = draw_plot("costs", {}, [PlotPoint("mine", 0.4, 1.0, is_unmeasured=True)])
    assert circles(picture)[0][2] == "#ffffff" and "mine (quality not measured)" in picture


def test_names_cannot_break_out_of_the_picture() -> None:
    picture = draw_plot("<script>", {"</path><a>": [(0.0, 0.5)]}, [PlotPoint("<b>", 2.0, 0.1)])
    assert "<script>" not in picture and "<b>" not in picture and ElementTree.fromstring(picture) is not None
