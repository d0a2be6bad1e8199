"""The debugger in a Jupyter kernel: its seam with ipykernel, cells, magics, kernelspecs."""
