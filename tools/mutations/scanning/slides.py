"""Mutations of the files of a slide: its master, its exports, its journal where it may only be read."""

from tools.mutations.mutation import Mutation

_OME_ZARR = ("tests/edge/images/test_ome_zarr.py",)
_MASTER = ("tests/edge/slide/test_master.py",)
_MOSAIC = ("tests/edge/stitch/test_mosaic.py",)
_WHOLE_FILE = ("tests/edge/test_whole_file.py",)
_JOURNAL = ("tests/edge/scan/tiling/test_journal.py",)
_EXPORT = ("tests/edge/slide/test_export.py",)

MUTATIONS = (
    Mutation(
        "what a killed stitch has left takes the room of the next",
        "edge/slide/master.py",
        "    remove_remains(scan.folder)  # first: they may fill the room that this one needs\n",
        "",
        _MASTER,
    ),
    Mutation(
        "a master that fails stays on the disk",
        "edge/images/ome_zarr.py",
        "            remove_remains(slide)\n        raise\n",
        "            pass\n        raise\n",
        _OME_ZARR,
    ),
    Mutation(
        "an export that fails stays on the disk",
        "edge/images/deep_zoom.py",
        "        if_it_fails.callback(shutil.rmtree, part, ignore_errors=True)\n",
        "",
        _EXPORT,
    ),
    Mutation(
        "an export replaces a folder that no export has written",
        "edge/images/deep_zoom.py",
        "    _check_own(folder, path)\n",
        "",
        _EXPORT,
    ),
    Mutation(
        "an export that was killed is in the way of the next",
        "edge/images/deep_zoom.py",
        "return None if other is None else",
        "return",
        _EXPORT,
    ),
    Mutation(
        "a slide that may only be read cannot be read",
        "edge/scan/tiles.py",
        'else "immutable=1"',
        'else "mode=ro"',
        _JOURNAL,
    ),
    Mutation(
        "what a killed scan entered last is not read where nothing can be written",
        "edge/scan/tiles.py",
        '"mode=ro" if log.exists() and log.stat().st_size else "immutable=1"',
        '"immutable=1"',
        _JOURNAL,
    ),
    Mutation(
        "a journal keeps its log",
        "edge/scan/tiling/journal.py",
        'execute("PRAGMA journal_mode = DELETE")',
        'execute("PRAGMA journal_mode")',
        _JOURNAL,
    ),
    Mutation(
        "a full disk names no file",
        "edge/whole_file.py",
        "            error.filename = str(path)\n",
        "            pass\n",
        _WHOLE_FILE,
    ),
    Mutation(
        "a chunk that does not fit is not named",
        "edge/images/ome_zarr.py",
        "    write_plainly(folder / str(column), packed(grown(pixels, CHUNK_PX, CHUNK_PX), codec))\n",
        "    (folder / str(column)).write_bytes(packed(grown(pixels, CHUNK_PX, CHUNK_PX), codec))\n",
        _WHOLE_FILE,
    ),
    Mutation(
        "a journal on a full disk is told as a bug",
        "edge/scan/tiling/journal.py",
        "        except sqlite3.OperationalError as error:\n",
        "        except ZeroDivisionError as error:\n",
        _JOURNAL,
    ),
    Mutation(
        "a mosaic keeps a quarter of the tiles that it has room for",
        "edge/stitch/mosaic.py",
        "max(MIN_KEPT, CACHE_BYTES // (size_px[0] * size_px[1] * 3))",
        "max(2, CACHE_BYTES // (size_px[0] * size_px[1] * 12))",
        _MOSAIC,
    ),
    Mutation(
        "a master is made row by row",
        "edge/images/ome_zarr.py",
        "STRIP = 3 ",
        "STRIP = 1 ",
        _MOSAIC,
    ),
    Mutation(
        "all samples of a master are in memory at once",
        "edge/slide/master.py",
        "samples = (load(k) for k in range(0, n_tiles, every))",
        "samples = [load(k) for k in range(0, n_tiles, every)]",
        _MASTER,
    ),
    Mutation(
        "tiles that two shots focused count as without any error",
        "edge/slide/quality/report.py",
        "for focus_um in told if focus_um != 0.0]",
        "for focus_um in told]",
        ("tests/edge/slide/quality/test_quality.py",),
    ),
)
