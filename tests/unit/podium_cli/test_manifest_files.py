"""Reading manifests: what is wrong is told with file, line and column, before anything is sent."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from podium.cli.manifest_files import ManifestError, read_manifests

BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n"


def read(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "web.yaml"
    path.write_text(text)
    return [str(manifest) for manifest in read_manifests((str(path),))]


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, text)
    return caught.value.message.replace(str(tmp_path / "web.yaml"), "web.yaml")


def test_several_documents_and_lists_are_opened_in_order(tmp_path: Path) -> None:
    a_list = (
        "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: c}}"
    )
    text = "---\n".join([POD.format(name="a"), "# nothing\n", POD.format(name="b"), a_list])
    assert read(tmp_path, text) == ["pod/a", "pod/b", "secret/c"]


def test_json_is_understood_too(tmp_path: Path) -> None:
    text = '{\n\t"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}'
    assert read(tmp_path, text) == ["deployment.apps/web"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {b: c\nd: 1\n", "web.yaml: line 2, column 2: did not find expected ',' or '}'"),
        ("a: b\n\tc: d\n", "web.yaml: line 2, column 1: found a tab character"),
        ("a: 1\na: 2\n", 'web.yaml: line 2, column 1: key "a" already set'),
        ("- a\n", "web.yaml, line 1: an object was expected, not a list"),
        ("kind: Pod\n", "web.yaml, line 1: apiVersion not set"),
        ("apiVersion: v1\n", "web.yaml, line 1: kind not set"),
        ("apiVersion: v1\nkind: Pod\n", "web.yaml, line 1: Pod has no metadata.name"),
        (POD.format(name="x").replace("Pod", "Pot"), 'no matches for kind "Pot" in version "v1"'),
        ("a: *b\n", "found undefined alias"),
        ("a: !!python/object:os.system x\n", "could not determine a constructor"),
        ("[" * 2000, "web.yaml"),
        (BOMB, "web.yaml: grows to more than 1000000 values when its aliases are resolved"),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_values_stay_what_json_can_say(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(POD.format(name="x") + "  annotations: {when: 2026-01-02T03:04:05Z, 80: a}\n")
    annotations = read_manifests((str(path),))[0].object["metadata"]["annotations"]
    assert annotations == {"when": "2026-01-02T03:04:05Z", "80": "a"}


def test_a_directory_is_read_in_order_and_deeper_only_if_asked(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.yaml", "a.yml", "sub/c.json", "notes.txt"):
        (tmp_path / name).write_text(POD.format(name=Path(name).stem))
    assert [m.name for m in read_manifests((str(tmp_path),))] == ["a", "b"]
    assert [m.name for m in read_manifests((str(tmp_path),), recursive=True)] == ["a", "b", "c"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r'the path ".*none\.yaml" does not exist'):
        read_manifests((str(tmp_path / "none.yaml"),))
    with pytest.raises(ManifestError, match=r"holds no \.yaml"):
        read_manifests((str(tmp_path),))


def test_standard_input_is_a_file_called_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(POD.format(name="x").encode()))
    monkeypatch.setattr(sys, "stdin", given)
    assert [str(m) for m in read_manifests(("-",))] == ["pod/x"]
