"""NVIDIA GPUs."""

from __future__ import annotations

import torch

from engine.sweep.devices.backend import Accelerator, Backend

IMAGES_AT_ONCE = 256


class Cuda(Backend):
    """A GPU, which one thread of a process keeps busy."""

    pins_memory = True

    def accelerators(self) -> list[Accelerator]:
        """List the GPUs that torch can use, in its order."""
        if not torch.cuda.is_available():
            return []
        gpus = []
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            uuid = f"GPU-{properties.uuid}"
            gpus.append(Accelerator(f"cuda:{index}", uuid, properties.name, _taken(uuid)))
        return gpus

    def threads(self, cores: int) -> int:
        """Return one: several would compete for the GPU's memory."""
        return 1

    def most_images(self, side: int) -> int:
        """Return the same number whatever their size; it is halved where memory runs out."""
        return IMAGES_AT_ONCE

    def configure(self, *, tf32: bool) -> None:
        """Choose whether inputs of products and convolutions may be rounded to TF32's 10 bits."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32

    def use(self, device: torch.device) -> None:
        """Make a GPU the default of this thread: it would otherwise take memory of the first one."""
        torch.cuda.set_device(device)

    def free_memory(self, device: torch.device) -> int:
        """Return how many bytes of the GPU's memory are free."""
        return torch.cuda.mem_get_info(device)[0]

    def release_memory(self) -> None:
        """Give unused memory back to the system and to other processes on the GPU."""
        super().release_memory()
        torch.cuda.empty_cache()


def _taken(uuid: str) -> float:
    """Return the share of a GPU's memory in use, by NVML; this process holds none of it yet."""
    import pynvml

    try:
        pynvml.nvmlInit()
        memory = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid))
    except pynvml.NVMLError:
        return 0.0
    return float(memory.used / memory.total)
