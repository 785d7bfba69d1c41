"""The USB board of the microscope: wire protocol, link, stepper axes, lamp, and a stub motor board."""
