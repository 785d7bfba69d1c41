"""Imaging of objects in torch, many at a time: training data are made while they are used."""
