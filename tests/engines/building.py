"""`build_all` as the command line calls it: forms are made by `calib/quantise`."""

import functools

from parfocal.calib.quantise.forms import made_form
from parfocal.engines import build

build_all = functools.partial(build.build_all, make_form=made_form)
