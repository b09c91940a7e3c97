"""Ensembles of drifting particles: fields of the sea from files, currents, advection by parcels, counts on a grid."""
