"""The matrix product of the ggml inside stable-diffusion-cpp-python, through ctypes."""
import ctypes
import pathlib

from peers import Absent

Q8_0 = 8  # enum ggml_type
F32 = 0


class Params(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


class Plan(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("work", ctypes.c_void_p), ("rest", ctypes.c_byte * 240)]  # more than it has


def library():
    import stable_diffusion_cpp

    folder = pathlib.Path(stable_diffusion_cpp.__file__).parent / "lib"
    lib = ctypes.CDLL(str(next(folder.glob("libstable-diffusion.*"))))
    pointer, i64 = ctypes.c_void_p, ctypes.c_int64
    try:
        lib.ggml_init.restype, lib.ggml_init.argtypes = pointer, [Params]
        lib.ggml_new_tensor_2d.restype, lib.ggml_new_tensor_2d.argtypes = pointer, [pointer, ctypes.c_int, i64, i64]
        lib.ggml_mul_mat.restype, lib.ggml_mul_mat.argtypes = pointer, [pointer] * 3
        lib.ggml_get_data.restype, lib.ggml_get_data.argtypes = pointer, [pointer]
        lib.ggml_new_graph.restype, lib.ggml_new_graph.argtypes = pointer, [pointer]
        lib.ggml_build_forward_expand.restype, lib.ggml_build_forward_expand.argtypes = None, [pointer, pointer]
        lib.ggml_quantize_chunk.restype = ctypes.c_size_t
        lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, i64, i64, i64, pointer]
        lib.ggml_graph_plan.restype, lib.ggml_graph_plan.argtypes = Plan, [pointer, ctypes.c_int, pointer]
        lib.ggml_graph_compute.argtypes = [pointer, ctypes.POINTER(Plan)]
        lib.ggml_cpu_init.restype = None
    except AttributeError as e:
        raise Absent from e  # built with hidden symbols
    lib.ggml_cpu_init()
    return lib


def matmul(m, k, n, count, threads):
    """A call that multiplies [m, k] float32 by count q8_0 matrices [n, k], quantization of the activations included."""
    import numpy as np

    lib = library()
    ctx = lib.ggml_init(Params((64 << 20) + count * (2 * n * k + 8 * n * m) + 16 * m * k, None, False))
    rng = np.random.default_rng(1)

    def fill(tensor, values, kind):
        if kind == F32:
            ctypes.memmove(lib.ggml_get_data(tensor), values.ctypes.data, values.nbytes)
        else:
            lib.ggml_quantize_chunk(kind, values.ctypes.data, lib.ggml_get_data(tensor), 0, *values.shape, None)
        return tensor

    x = fill(lib.ggml_new_tensor_2d(ctx, F32, k, m), rng.random((m, k), np.float32) - 0.5, F32)
    graph = lib.ggml_new_graph(ctx)
    for _ in range(count):
        w = fill(lib.ggml_new_tensor_2d(ctx, Q8_0, k, n), rng.random((n, k), np.float32) - 0.5, Q8_0)
        lib.ggml_build_forward_expand(graph, lib.ggml_mul_mat(ctx, w, x))
    plan = lib.ggml_graph_plan(graph, threads, None)
    work = ctypes.create_string_buffer(plan.size + 64)
    plan.work = ctypes.addressof(work)
    keep = work  # as long as the call
    return lambda: (keep, lib.ggml_graph_compute(graph, ctypes.byref(plan)))
