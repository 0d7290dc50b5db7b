"""The whole chain from text to sound as ONNX graphs, and a program that speaks with them.

`sled.onnx.export` writes a folder of graphs. `sled.onnx.tts` speaks with them, without PyTorch.
"""
