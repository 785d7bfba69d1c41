"""Features of a folder of stacks, saved on disk part by part, so that a stopped run can resume.

Each part records its stacks, body and spectra, and is computed again if one of them has changed.
"""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tools.learning.data.examples import Examples, stack_paths
from tools.learning.data.features import Features, features_of, together
from tools.networks.focus import FocusNet

STACKS_AT_ONCE = 64
MOST_NAMED = 10  # skipped stacks that are listed by name
SOURCE = "source"  # array in a part that records what it was computed from


def of_folder(
    net: FocusNet, examples: Examples, device: str, kept: Path, say: Callable[[str], None]
) -> Features:
    """Return the features of all stacks in the folder of `examples`. They are saved in the folder `kept`.

    Raises:
        SystemExit: no stack is usable.
    """
    kept.mkdir(parents=True, exist_ok=True)
    paths = stack_paths(examples.folder)
    body = digest_of(net)
    parts: list[Features] = []
    n_found = 0
    for number, start in enumerate(range(0, len(paths), STACKS_AT_ONCE)):
        chosen = paths[start : start + STACKS_AT_ONCE]
        file = kept / f"{number:04d}.npz"
        source = f"{body} {examples.cut} {_digest_of_stacks(chosen)}"
        part = load_part(file, source)
        if part is not None:
            examples.skip(chosen)
            n_found += len(chosen)
        else:
            examples.read(chosen)
            if not len(examples):
                continue
            part = features_of(net, examples, device)
            save_part(part, file, source)
            examples.forget()
            say(f"{sum(map(len, parts)) + len(part)} patches of {start + len(chosen)} stacks")
        parts.append(part)
    if n_found:
        say(f"features of {n_found} of {len(paths)} stacks were found in {kept}")
    for line in examples.left_out[:MOST_NAMED]:
        say(f"left out {line}")
    if len(examples.left_out) > MOST_NAMED:
        say(f"left out {len(examples.left_out) - MOST_NAMED} more")
    if not parts:
        raise SystemExit(
            f"read {examples.folder} failed: it contains no usable stack. See above why stacks were left out, "
            "or name another folder."
        )
    return together(parts)


def digest_of(net: FocusNet) -> str:
    """Return a hash of all that features depend on besides the patches: not of the linear head of the body."""
    digest = hashlib.sha256()
    weights = () if net.body is None else net.body.features.state_dict().values()
    for tensor in (*weights, *net.spectrum.buffers()):
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _digest_of_stacks(paths: list[Path]) -> str:
    """Return a hash of names, sizes and times. Stacks are written atomically, so a changed stack has a new time."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            state = file.stat()
            digest.update(f"{file} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def save_part(part: Features, file: Path, source: str) -> None:
    """Write a part atomically, with a record of what it was computed from."""
    partial = file.with_name(f"partial-{file.name}")
    save: Callable[..., None] = np.savez  # NumPy's stub would take an array for allow_pickle
    save(partial, **{SOURCE: np.array(source)}, **vars(part))
    partial.replace(file)


def load_part(file: Path, source: str | None) -> Features | None:
    """Return a saved part; None if it is missing, damaged or computed from something else than `source`, if given."""
    try:
        with np.load(file) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return None
    found = str(arrays.pop(SOURCE, ""))
    return Features(**arrays) if source in (None, found) else None
