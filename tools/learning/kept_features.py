"""Features of a folder of stacks, kept on the disk part by part: a run that was stopped goes on where it was.

Each part says of which stacks, body and spectra it is, and is computed anew where one of them has changed.
"""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tools.learning.examples import Examples, stack_paths
from tools.learning.features import Features, features_of, together
from tools.networks.focus import FocusNet

STACKS_AT_ONCE = 64
MOST_NAMED = 10  # of the stacks that are left out
SOURCE = "source"  # the array of a part that says of what it is


def of_folder(
    net: FocusNet, examples: Examples, device: str, kept: Path, say: Callable[[str], None]
) -> Features:
    """Features of all stacks in the folder of ``examples``, kept in the folder ``kept``.

    Raises SystemExit where there is none to be used.
    """
    kept.mkdir(parents=True, exist_ok=True)
    paths = stack_paths(examples.folder)
    body = _digest_of(net)
    parts: list[Features] = []
    n_found = 0
    for number, start in enumerate(range(0, len(paths), STACKS_AT_ONCE)):
        chosen = paths[start : start + STACKS_AT_ONCE]
        file = kept / f"{number:04d}.npz"
        source = f"{body} {examples.cut} {_digest_of_stacks(chosen)}"
        part = _load(file, source)
        if part is not None:
            examples.skip(chosen)
            n_found += len(chosen)
        else:
            examples.read(chosen)
            if not len(examples):
                continue
            part = features_of(net, examples, device)
            _save(part, file, source)
            examples.forget()
            say(f"{sum(map(len, parts)) + len(part)} patches of {start + len(chosen)} stacks")
        parts.append(part)
    if n_found:
        say(f"features of {n_found} of {len(paths)} stacks were those kept in {kept}")
    for line in examples.left_out[:MOST_NAMED]:
        say(f"left out {line}")
    if len(examples.left_out) > MOST_NAMED:
        say(f"left out {len(examples.left_out) - MOST_NAMED} more")
    if not parts:
        raise SystemExit(f"{examples.folder} holds no stack that examples can be cut from")
    return together(parts)


def _digest_of(net: FocusNet) -> str:
    """Of all that features depend on beside the patches; the body's own head is not part of it."""
    digest = hashlib.sha256()
    for tensor in (*net.body.features.state_dict().values(), *net.spectrum.buffers()):
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()


def _digest_of_stacks(paths: list[Path]) -> str:
    """Of names, sizes and times: a stack is written whole, so what changed is younger."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            state = file.stat()
            digest.update(f"{file} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _save(part: Features, file: Path, source: str) -> None:
    """Write a part whole, or not at all."""
    partial = file.with_name(f"partial-{file.name}")
    save: Callable[..., None] = np.savez  # typed as if an array could be its allow_pickle
    save(partial, **{SOURCE: np.array(source)}, **vars(part))
    partial.replace(file)


def _load(file: Path, source: str) -> Features | None:
    """A part that was saved; None where there is none, or it is damaged or of something else."""
    try:
        with np.load(file) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile):
        return None
    return Features(**arrays) if str(arrays.pop(SOURCE, "")) == source else None
