"""What this machine has, what was proven on it, and whether the site would start as configured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform import python_version

from classifier import installed, nvidia
from classifier.doctor import libraries, machine
from classifier.errors import StartupError, Unproven
from classifier.models import compiled, compiled_trial, device, folder, substitute, trial
from classifier.models.quick_start import require_backend
from classifier.models.trial import Proof
from classifier.nvidia import Card
from classifier.options import ModelOptions

WIDTH = 14  # of the column of names
RESPONSIBLE = ("cublas", "cuda-runtime", "cudnn")  # the CUDA packages whose versions decide whether a card works


Lines = list[tuple[str, str]]


@dataclass(frozen=True)
class Tried:
    """What was proven: a device, why it is not the graphics card, and why nothing can answer."""

    proof: Proof | None
    reason: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Report:
    """One screen: `lines` of names and facts, and why the site would not start, "" if it would."""

    lines: Lines
    problem: str

    def as_text(self) -> str:
        facts = [f"{name:{WIDTH}}{text}" for name, text in self.lines]
        verdict = f"The site would not start: {self.problem}" if self.problem else "The site would start as configured."
        return "\n".join([*facts, "", verdict])


def examine(
    options: ModelOptions,
    fallback: str,
    uploads: str,
    run: device.Run = trial.run,
    inspect: Callable[[], list[str]] = libraries.inspect,
    network_error: Callable[[], str] = machine.network_error,
) -> Report:
    """Look at everything and run the test computation, but load no model.

    `fallback` and `uploads` are the site's settings of these names; the other arguments are what takes time.
    """
    cards = nvidia.cards()
    has_gpu = device.is_expected(cards)
    faults = inspect() if has_gpu else []
    tried = try_compiled(options) if is_compiled(options) else try_devices(options, cards, run)
    offline = network_error()
    lines = [
        ("Processor", machine.processor()),
        ("Memory", machine.memory()),
        *[("Graphics card", text) for text in described(cards, has_gpu)],
        *software(faults),
        *proven(tried),
        *files(options, fallback, uploads),
        ("Network", f"{machine.WEIGHTS_HOST} {f'cannot be reached ({offline})' if offline else 'answers'}"),
    ]
    return Report(lines, tried.problem or model_problem(options, bool(offline), fallback))


def described(cards: Sequence[Card], has_gpu: bool) -> list[str]:
    """Return a line for each card, with what hides it."""
    texts = [f"{card.name}, capability {card.capability}, driver {card.driver}" for card in cards]
    if texts and not has_gpu:
        texts.append("hidden by CUDA_VISIBLE_DEVICES or JAX_PLATFORMS, or not supported by the back end")
    elif has_gpu and not texts:
        texts.append("one that nvidia-smi does not list")
    return texts or ["none"]


def software(faults: Sequence[str]) -> Lines:
    """Return the lines about Python, the back end and CUDA, with what is wrong with its libraries."""
    versions = installed.versions()
    cuda = [f"{name} {versions[name]}" for name in versions if any(part in name for part in RESPONSIBLE)]
    return [
        ("Python", python_version()),
        ("Back end", f"{installed.backend_version()}, keras {versions.get('keras', '(not installed)')}"),
        ("CUDA", ", ".join(cuda) or "not installed"),
        ("OpenVINO", installed.distribution_version("openvino") or "not installed"),
        *[("", fault) for fault in faults],
    ]


def files(options: ModelOptions, fallback: str, uploads: str) -> Lines:
    """Return the lines about the model, the weights that Keras has downloaded, and the disk."""
    cache = installed.keras_home() / "models"
    cached = ", ".join(f"{path.name} ({path.stat().st_size / 1e6:.0f} MB)" for path in weights_in(cache))
    places = [cache, *([] if "://" in uploads else [Path(uploads)])]
    return [
        ("Model", f"{options.model}, weights: {options.weights}, fallback: {fallback or 'unset'}"),
        ("Model cache", f"{cache}: {cached or 'empty'}"),
        *[("Disk", machine.free(place)) for place in places],
    ]


def is_compiled(options: ModelOptions) -> bool:
    return folder.is_compiled(Path(options.model))


def try_compiled(options: ModelOptions) -> Tried:
    """Run a compiled folder in a child process, as the site does when it first starts with it."""
    path = Path(options.model)
    try:
        megabytes = compiled_trial.attempt(path)
        return Tried(None, f"{path.name} answers on OpenVINO in {megabytes:.0f} MB" if megabytes else "")
    except Unproven as error:
        return try_substitute(options, error)


def try_substitute(options: ModelOptions, error: Unproven) -> Tried:
    """Look for the model that answers where OpenVINO crashes."""
    try:
        require_backend()
        return Tried(None, substitute.find(options, error)[1])
    except StartupError as missing:
        return Tried(None, problem=str(missing))


def try_devices(options: ModelOptions, cards: Sequence[Card], run: device.Run) -> Tried:
    """Run the test computation as the site would, but anew, and on the CPU if that is what answers."""
    reason = ""
    if options.device == "gpu" or (options.device == "auto" and device.is_expected(cards)):
        try:
            return Tried(device.prove_again(options.precision, cards, run))
        except Unproven as error:
            if options.device == "gpu":
                return Tried(None, problem=str(device.refusal(error)))
            reason = str(error)
    device.hide()
    try:
        require_backend()
        proof = run(options.precision)
    except Unproven as error:
        return Tried(None, reason, f"A test computation with {installed.backend_version()} on the CPU {error}.")
    except StartupError as error:
        return Tried(None, reason, str(error))
    wrong = "" if proof.proven else f"{proof.backend} computes wrong numbers on the CPU in {proof.precision}."
    return Tried(proof, reason, wrong)


def proven(tried: Tried) -> Lines:
    """Return the lines about what was proven."""
    lines = [("Proven", text) for text in (tried.reason, tried.proof and summary(tried.proof)) if text]
    return lines or [("Proven", "nothing")]


def summary(proof: Proof) -> str:
    difference = "gave no number" if proof.difference is None else f"was off by {proof.difference:.2g}"
    return (
        f"{proof.device} in {proof.precision} {difference}, where {proof.tolerance:g} is right; {proof.seconds:.1f} s"
    )


def weights_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in (".h5", ".keras"))


def model_problem(options: ModelOptions, is_offline: bool, fallback: str) -> str:
    """Return why the model could not be loaded, "" if it probably could. Imports the back end, which works by now."""
    try:
        check_model(options)
    except StartupError as error:
        return str(error)
    if not is_offline or fallback or has_weights(options):
        return ""
    return (
        f"The weights of {options.model} are not in {installed.keras_home() / 'models'}, and the internet cannot be "
        "reached; docs/models.md explains how to install them without it."
    )


def check_model(options: ModelOptions) -> None:
    """Check what can be checked without loading the model. Raises StartupError."""
    if is_compiled(options):
        compiled.check(Path(options.model), options.device)
        return
    if folder.is_folder(options.model):
        folder.read_card(Path(options.model))
        return
    from classifier.models import efficientnet_lite, labels, pretrained

    pretrained.find_builder(options.model)
    if options.labels:
        labels.read(options.labels)
    if options.weights not in ("imagenet", "random") and not Path(options.weights).is_file():
        raise StartupError(f"The weights {options.weights} are not a file.")
    if options.weights == "imagenet" and is_lite(options.model):
        efficientnet_lite.weights_file(options.model)


def has_weights(options: ModelOptions) -> bool:
    """Return True if the model needs no download. Keras' files begin with the name of their model."""
    if folder.is_folder(options.model) or options.weights != "imagenet" or is_lite(options.model):
        return True
    from classifier.models import pretrained

    names = [pretrained.plain(path.name) for path in weights_in(installed.keras_home() / "models")]
    return any(name.startswith(pretrained.plain(options.model)) for name in names)


def is_lite(model: str) -> bool:
    """Return True for a model whose weights come in a package, with the project."""
    from classifier.models import efficientnet_lite, pretrained

    return pretrained.plain(model) in map(pretrained.plain, efficientnet_lite.VARIANTS)
