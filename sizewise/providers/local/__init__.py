"""Embedded models: llama.cpp and ONNX models, each in a process of its own, started when first used."""
