"""The weights and the ONNX graphs of Saywhere's preset ``large``.

``saywhere.load("large")`` finds them here.
"""
