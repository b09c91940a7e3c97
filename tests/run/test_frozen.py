import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from segfield.run import frozen as frozen_module
from segfield.run.frozen import Frozen
from segfield.run.placement import leaves

KEPT = Path(__file__).resolve().parents[2] / "experiments/repeatability/baseline/config.yaml"

LAUGHS = "a: &a [x]\n" + "".join(
    f"{n * 2}: &{n} [{','.join(['*' + p] * 9)}]\n" for p, n in itertools.pairwise("abcdefgh")
)


def plain(text: str) -> dict[str, Any]:
    return dict(leaves(yaml.safe_load(text)))


def test_a_frozen_config_is_read_as_yaml_reads_it() -> None:
    text = KEPT.read_text()
    values = Frozen().values(text)
    assert values == plain(text)
    assert list(values) == list(plain(text))
    assert values["optimizer.lr"] == 0.001


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {b: 1}\nc: *x\n",  # groups that are not alone
        "a: &x 1\nb: {c: *x}\nd: &y {e: &z 2, f: *z}\n",
        "a: {x: 1}\nb: 2\na: {y: 3}\n",  # the later one counts
        "# a comment\n\na: 1\n# b: 2\nc:\n- 1\n- x: 2\n",
        "a: |\n  b: 1\n\n  c: 2\nd: >-\n  e\n",
        "a: 'x\n  y'\nb: \"p\\\n  q\"\n",
        "a: {x: 1,\n  y: 2}\nb: [1,\n  2]\n",
        "true: 1\nno: 2\n",
        "a: 1\r\nb: 2\r\n",
        "a: 1\rb: 2\n",
        "'a': 1\nb c: 2\n? d\n: 3\n",
        "--- \na: 1\n",
        "%YAML 1.1\n---\na: 1\n",
        "{a: 1, b: {c: 2}}\n",
        "a:\nb: null\nc: ~\n",
        "a: 1.0e-05\nb: 1e-3\nc: .inf\nd: 010\ne: 2026-01-02\nf: !!str 1\n",
    ],
)
def test_groups_read_alone_mean_what_the_whole_text_means(text: str) -> None:
    assert Frozen().values(text) == plain(text)


def test_a_group_that_many_runs_have_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    real = frozen_module.plain
    monkeypatch.setattr(frozen_module, "plain", lambda *words: loaded.append(words[0]) or real(*words))
    frozen = Frozen()
    for lr in (1, 2, 3):
        assert frozen.values(f"seed: 0\noptimizer:\n  lr: {lr}\ndata:\n  size: 3\n")["optimizer.lr"] == lr
    changed = [f"optimizer:\n  lr: {lr}\n" for lr in (1, 2, 3)]
    assert loaded == ["seed: 0\n", changed[0], "data:\n  size: 3\n", *changed[1:]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1\nc: 2\n", "no YAML: .*, line 3"),
        ("", "no frozen config: expected groups such as data: and trainer:"),
        ("[1, 2]", "no frozen config"),
        ("just words", "no frozen config"),
        ("a: 1\n--- \nb: 2\n", "no YAML: .*, line 2"),
        ("a: 1\n...\nb: 2\n", "no YAML"),
        ("a: !!python/object/apply:os.system [x]\n", "could not determine a constructor"),
        ("a: &x {k: 1}\nb:\n  <<: *x\n", r"mappings are merged \(<<\), line 3"),
        ("a:\n  !!merge x: {k: 1}\n", "mappings are merged"),
        ("a: &x [*x]\n", "nested deeper than"),
        ("a: " + "[" * 3_000, "recursion"),
        ("a: " + "- " * 3_000 + "x", "recursion|no YAML"),
        ("a: " + "[" * 1_000 + "]" * 1_000, "nested deeper than"),
        (LAUGHS, "holds more than"),
        ("a: !!int ''\n", "."),
        ("a: !!bool x\n", "."),
        ("a: !!timestamp x\n", "."),
        ("a: \x01\n", "control characters are not allowed"),
    ],
)  # fmt: skip
def test_what_is_no_config_or_made_to_exhaust_memory_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Frozen().values(text)
    assert "\n" not in str(caught.value)


def test_many_groups_that_are_large_together_are_refused() -> None:
    ten = ", ".join(f"k{number}: 1" for number in range(10))
    group = f"[&ten {{{ten}}}, {', '.join(['*ten'] * 999)}]"
    with pytest.raises(ValueError, match="it holds more than 100000 values"):
        Frozen().values("".join(f"g{number}: {group}\n" for number in range(12)))
