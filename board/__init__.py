"""The motor board of the microscope: wire protocol, link, axes, lamp, and a stub motor board."""
