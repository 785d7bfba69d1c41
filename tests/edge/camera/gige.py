"""The GigE Vision camera of Aravis on this machine, with an input for triggers. Needs PyGObject and Aravis.

Its fake camera knows triggers by command only, and only over the network: that of its "Fake" interface runs freely
whatever is set. So the source of that name is called "Line1" here, and a write into the register of the command is a
pulse.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from parfocal.edge.camera.vision.aravis import aravis

ADDRESS = "127.0.0.1"
_TRIGGER_COMMAND, _TRIGGER_DELAY = 0x30C, 0x344
_MORE = """
<Float Name="TriggerDelay" NameSpace="Standard">
<pValue>TriggerDelayRegister</pValue><Min>{least}</Min><Max>1000</Max></Float>
<IntReg Name="TriggerDelayRegister" NameSpace="Custom"><Address>{delay:#x}</Address><Length>4</Length>
<AccessMode>RW</AccessMode><pPort>Device</pPort><Sign>Unsigned</Sign><Endianess>BigEndian</Endianess></IntReg>
</RegisterDescription>"""


class GigeCamera:
    """A camera at `ADDRESS`; one at a time in a process."""

    def __init__(self, folder: Path, least_delay_us: int = 0) -> None:
        library, _ = aravis()
        text = library.FakeCamera.new("0").get_genicam_xml()[0]
        text = text.replace('Name="Software"', 'Name="Line1"').replace(
            "</RegisterDescription>", _MORE.format(least=least_delay_us, delay=_TRIGGER_DELAY)
        )
        text = re.sub(
            r"(<pFeature>TriggerActivation</pFeature>)", r"\1<pFeature>TriggerDelay</pFeature>", text
        )
        file = folder / "camera.xml"
        file.write_text(text)
        self._server: Any = library.GvFakeCamera.new_full(ADDRESS, "PF01", str(file))
        self._camera = self._server.get_fake_camera()

    def pulse(self) -> None:
        """A pulse at Line1."""
        self._camera.write_register(_TRIGGER_COMMAND, 1)

    def set_delay(self, delay_us: int) -> None:
        """What another program left."""
        self._camera.write_register(_TRIGGER_DELAY, delay_us)

    @property
    def is_pulsed(self) -> bool:
        """Whether a pulse was not answered yet."""
        return bool(self._camera.read_register(_TRIGGER_COMMAND)[1])

    @property
    def delay_us(self) -> int:
        """The delay from trigger to exposure that is set."""
        return int(self._camera.read_register(_TRIGGER_DELAY)[1])

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for triggers at Line1."""
        return bool(self._camera.is_in_software_trigger_mode())
