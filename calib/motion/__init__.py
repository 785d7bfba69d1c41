"""What motors, gears and the stage do: play, scale, swing, the fastest safe speed. Pure fits."""
