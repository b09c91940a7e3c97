from pathlib import Path

import pytest
import torch

from segfield.run.weights import digest, read_digests

STATE = {"a": torch.arange(4.0), "b": [torch.tensor(1), 2.5, None]}


def test_the_digest_is_of_content_not_of_order_or_memory_format() -> None:
    image = torch.randn(1, 3, 4, 4)
    assert digest({"b": STATE["b"], "a": STATE["a"]}) == digest(STATE)
    assert digest(image) == digest(image.to(memory_format=torch.channels_last))


@pytest.mark.parametrize(
    "other",
    [
        {**STATE, "a": torch.arange(4.0).double()},
        {**STATE, "a": torch.arange(4.0).reshape(2, 2)},
        {**STATE, "a": torch.nextafter(torch.arange(4.0), torch.tensor(9.0))},
        {**STATE, "b": [torch.tensor(1), 2.5]},
        {"c": STATE["a"], "b": STATE["b"]},
    ],
    ids=["type", "shape", "last bit", "length", "name"],
)
def test_the_digest_sees_every_difference(other: object) -> None:
    assert digest(other) != digest(STATE)


def test_a_tensor_of_bfloat16_and_one_without_dimensions_have_digests() -> None:
    assert digest(torch.ones(2, dtype=torch.bfloat16)) != digest(torch.ones((), dtype=torch.bfloat16))


def test_a_folder_without_digests_has_none(tmp_path: Path) -> None:
    assert read_digests(tmp_path) == {}
