"""Data modules: one file per data set, all of them final subclasses of module.PixelwiseData."""
