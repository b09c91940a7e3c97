"""All geometry of ours against kornia's, on the same tensors in one process; then what each change costs.

Geometry: flips, affine map and elastic deformation of 8x3x256x256 with masks and weights, every sample changed; wanted:
at most 1/10 of the time of kornia's RandomHorizontalFlip, RandomVerticalFlip, RandomAffine and RandomElasticTransform.
The seconds are those of the fastest of several blocks of calls, turn by turn, so that other work hits both.

python experiments/speed/augment.py [threads=2] [repeats=5] [batch=8] [side=256]
"""

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import kornia.augmentation as kornia
import torch

from segfield.augment import Augmentation
from segfield.augment.colour import Brightness, Contrast, Gamma, HueSaturationValue
from segfield.augment.geometry import Affine, Elastic

AFFINE, ELASTIC = Affine(1.0, (-15, 15), (0.9, 1.1), (-0.0625, 0.0625)), Elastic(1.0, 3, 10.0)
OURS = {
    "flips": Augmentation(0.5, 0.5),
    "affine": Augmentation(affine=AFFINE),
    "elastic": Augmentation(elastic=ELASTIC),
    "flips, affine and elastic": Augmentation(0.5, 0.5, AFFINE, ELASTIC),
    "brightness": Augmentation(colour={"it": Brightness(1.0)}),
    "contrast": Augmentation(colour={"it": Contrast(1.0)}),
    "gamma": Augmentation(colour={"it": Gamma(1.0)}),
    "hue, saturation, value": Augmentation(colour={"it": HueSaturationValue(1.0, (-90, 90), (-0.1, 0.1), (-0.1, 0.1))}),
}


def theirs() -> kornia.AugmentationSequential:
    """Return kornia's geometry, as near to ours as its ranges come, for an image, a mask and weights."""
    return kornia.AugmentationSequential(
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.RandomVerticalFlip(p=0.5),
        kornia.RandomAffine(15.0, (0.0625, 0.0625), (0.9, 1.1), p=1.0, padding_mode="reflection"),
        kornia.RandomElasticTransform(p=1.0),
        data_keys=["input", "mask", "mask"],
    )


def seconds(call: Callable[[], Any], calls: int) -> float:
    """Return the mean seconds of a block of calls."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls


def main() -> None:
    """Time ours and kornia's turn by turn, then each change of ours."""
    words = dict(word.split("=") for word in sys.argv[1:])
    settings = {"threads": 2, "repeats": 5, "batch": 8, "side": 256} | {name: int(word) for name, word in words.items()}
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", "Default grid_sample")  # kornia's own calls
    number, side = settings["batch"], settings["side"]
    image, weight = torch.rand(number, 3, side, side), torch.rand(number, 1, side, side)
    target = (weight[:, 0] > 0.5).long()
    batch = {"image": image, "target": target, "weight": weight, "index": torch.arange(number)}
    mask, sequence = target[:, None].float(), theirs()

    def kornias() -> None:
        sequence(image, mask, weight)

    def ours(name: str = "flips, affine and elastic") -> None:
        OURS[name](batch, 0, 0)

    kornias()
    ours()
    pairs = [(seconds(ours, 20), seconds(kornias, 2)) for _ in range(settings["repeats"])]
    fast, slow = (min(times) for times in zip(*pairs, strict=True))
    print(f"{number}x3x{side}x{side} with mask and weights, {settings['threads']} threads")
    print(f"all geometry: ours {1e3 * fast:.1f} ms, kornia {1e3 * slow:.1f} ms: 1/{slow / fast:.0f} (wanted: 1/10)")
    for name in OURS:
        ours(name)
        best = min(seconds(lambda name=name: ours(name), 20) for _ in range(settings["repeats"]))
        print(f"  {name}: {1e3 * best:.2f} ms")


if __name__ == "__main__":
    main()
