"""Where there is tissue: masks of an overview, and areas on the stage."""
