"""Where the stage goes in a scan, and in what light."""
