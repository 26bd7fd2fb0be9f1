"""What the two peer programs, peer_kernels.py and peer_models.py, share: threads, timing, memory, the output."""
import gc
import json
import os
import sys
import time

PEERS = {  # name -> what it takes, and the environment of its process
    "torch f32": (["torch"], {}),
    "torch bf16": (["torch"], {}),
    "sdnq": (["torch", "sdnq"], {}),
    "sdnq eager": (["torch", "sdnq"], {"SDNQ_USE_TORCH_COMPILE": "0", "TORCHDYNAMO_DISABLE": "1"}),
    "sdnq eager int_mm": (["torch", "sdnq"], {"SDNQ_USE_TORCH_COMPILE": "0", "TORCHDYNAMO_DISABLE": "1", "SDNQ_USE_OPENVINO_MM": "0"}),
    "OpenVINO f32": (["openvino"], {}),
    "OpenVINO bf16": (["openvino"], {}),
    "OpenVINO int8": (["openvino"], {}),
    "ggml q8_0": (["stable_diffusion_cpp"], {}),
}


class Absent(Exception):
    """The peer does not do this row."""


def threads():
    return int(os.environ["PEER_THREADS"])


def torch():
    import torch

    torch.set_num_threads(threads())
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    return torch


def openvino(model, precision):
    """A request of the compiled model with our number of threads; precision is f32 or bf16."""
    import openvino as ov

    config = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads(), "PERFORMANCE_HINT": "LATENCY"}
    return ov.Core().compile_model(model, "CPU", config).create_infer_request()


def best(run, seconds, least):
    """The shortest of several runs, in seconds; of one or two where they take more than 20 times what is asked for."""
    shortest, begin, n = float("inf"), time.perf_counter(), 0
    while (n < least and time.perf_counter() - begin < 20 * seconds) or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        run()
        shortest = min(shortest, time.perf_counter() - start)
        n += 1
    return shortest


def native_bf16():
    """bfloat16 is emulated elsewhere, hundreds of times slower."""
    with open("/proc/cpuinfo") as f:
        return "avx512_bf16" in f.read()


def quantize_sdnq(model, conv, **options):
    from sdnq import sdnq_post_load_quant

    options = {"weights_dtype": "int8", "use_quantized_matmul": True, **options}
    made = sdnq_post_load_quant(
        model, quant_conv=conv, use_quantized_matmul_conv=conv,
        quantization_device="cpu", return_device="cpu", torch_dtype=next(model.parameters()).dtype, **options,
    )
    return made[0] if isinstance(made, tuple) else made


def reset_peak():
    """Memory that building took does not count against the peer."""
    import ctypes

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")


def peak_mb():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1e3 * 1.024


def report(result):
    """The last line of standard output is what run.py reads."""
    print("\n" + json.dumps(result), flush=True)
    sys.stdout.flush()
    os._exit(0)  # some libraries crash at exit
