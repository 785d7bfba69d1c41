"""One scan and its master for all tests that only read them."""

import pytest

from parfocal.edge.scan.tiles import Scan
from parfocal.edge.slide.master import MasterReport, make_master
from tests.edge.slide.made import cut_scan, write_scan
from tests.edge.stitch.cut import Cut


@pytest.fixture(scope="session")
def cut_slide() -> Cut:
    return cut_scan()


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory, cut_slide: Cut) -> Scan:
    return write_scan(tmp_path_factory.mktemp("slides") / "A1.zarr", cut_slide)


@pytest.fixture(scope="session")
def mastered(scanned: Scan) -> MasterReport:
    return make_master(scanned)
