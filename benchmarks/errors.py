"""What can go wrong while measuring, split by what may still be measured afterwards."""


class BenchmarkError(Exception):
    """Base of all errors of a run."""


class Refused(BenchmarkError):
    """The debugger answered with an error, or wrongly: this figure is lost, the kernel is not."""


class KernelLost(BenchmarkError):
    """The kernel gave no answer in time, or died: nothing more can be asked of it."""


class CellFailed(BenchmarkError):
    """A cell of ours raised: what stands on it can't be measured."""
