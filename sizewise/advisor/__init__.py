"""Recommends small or large models for a workload, from catalog facts alone; calls no model."""
