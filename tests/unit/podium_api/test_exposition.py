"""Prometheus' text format, read back by Prometheus' own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families as parse

from podium.api.exposition import Counter, Histogram, family


def test_a_family_reads_back_as_it_was() -> None:
    awkward = 'a "b" \\ c\nd'
    text = family("up", "gauge", "Whether.", [({"pod": awkward}, 1), ({"pod": "b"}, 0.25)], 5000)
    (found,) = parse(text)
    assert (found.name, found.type, found.documentation) == ("up", "gauge", "Whether.")
    assert [(s.labels, s.value, s.timestamp) for s in found.samples] == [
        ({"pod": awkward}, 1, 5), ({"pod": "b"}, 0.25, 5),
    ]  # fmt: skip


def test_large_counters_stay_exact() -> None:
    assert family("bytes", "counter", "B.", [({}, 2**53 - 1)]).endswith("bytes 9007199254740991\n")


def test_a_family_without_samples_is_not_shown() -> None:
    assert family("up", "gauge", "Whether.", []) == ""
    assert Counter("c", "C.").text() == Histogram("h", "H.", (1.0,)).text() == ""


def test_counters_are_apart_by_labels() -> None:
    counter = Counter("calls_total", "Calls.")
    counter.add(kind="a")
    counter.add(2, kind="a")
    counter.add(kind="b")
    (found,) = parse(counter.text())
    assert {s.labels["kind"]: s.value for s in found.samples} == {"a": 3, "b": 1}


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram("seconds", "S.", (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value, of="x")
    (found,) = parse(histogram.text())
    values = {(s.name, s.labels.get("le")): s.value for s in found.samples}
    assert values["seconds_bucket", "0.1"] == 2
    assert values["seconds_bucket", "1.0"] == 3
    assert values["seconds_bucket", "+Inf"] == values["seconds_count", None] == 4
    assert values["seconds_sum", None] == 7.65
