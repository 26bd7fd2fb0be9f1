"""Times one peer on a network of `graphrun bench models` with made-up weights: peer_models.py PEER MODEL RUNS CACHE.

Prints {model: [seconds, peak resident MB]}; the peak is of the passes, after what building took was given back. What
takes long to make (OpenVINO's networks, sd.cpp's checkpoint) is made once, in the folder CACHE, by `peer_models.py prepare`.
"""
import json
import pathlib
import re
import sys
import tempfile

from peers import Absent, best, native_bf16, openvino, peak_mb, quantize_sdnq, report, reset_peak, threads, torch

SD15 = dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280))
SDXL = dict(
    sample_size=128, cross_attention_dim=2048, attention_head_dim=[5, 10, 20], block_out_channels=(320, 640, 1280),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=[1, 2, 10],
    use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816,
)
VAE = dict(
    block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4, sample_size=512,
    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
)
FLUX = dict(num_layers=1, num_single_layers=1, guidance_embeds=True)


def fill(model):
    """Weights whose products of normal numbers are about normal again."""
    t = torch()
    model.to_empty(device="cpu")
    block = t.randn(1 << 20)
    for name, p in [*model.named_parameters(), *model.named_buffers()]:
        if not p.dtype.is_floating_point:
            p.data.copy_(t.arange(p.numel()).reshape(p.shape))  # position ids
            continue
        flat = p.data.view(-1)
        if p.ndim < 2:
            flat.fill_(1 if name.endswith("weight") else 0)
            continue
        for i in range(0, flat.numel(), len(block)):
            flat[i : i + len(block)] = block[: flat.numel() - i] / (flat.numel() / p.shape[0]) ** 0.5
    return model.eval()


def build(model, dtype):
    """The network and the inputs of its forward pass."""
    t = torch()
    import diffusers

    def make(cls, config):
        t.set_default_dtype(dtype)
        with t.device("meta"):
            network = getattr(diffusers, cls)(**config)
        t.set_default_dtype(t.float32)
        return fill(network)

    def rand(*shape):
        return t.randn(*shape, dtype=dtype)

    if model == "sd15-unet":
        return make("UNet2DConditionModel", SD15), (rand(2, 4, 64, 64), t.tensor([500.0, 500.0]), rand(2, 77, 768))
    if model == "sdxl-unet":
        return make("UNet2DConditionModel", SDXL), (
            rand(1, 4, 128, 128), t.tensor([500.0]), rand(1, 77, 2048), rand(1, 1280), t.tensor([[1024.0, 1024, 0, 0, 1024, 1024]]),
        )
    if model == "sd15-vae-decode":
        return make("AutoencoderKL", VAE), (rand(1, 4, 64, 64),)
    if model == "flux-blocks":
        ids = t.zeros(64 * 64, 3)
        ids[:, 1], ids[:, 2] = t.arange(64).repeat_interleave(64), t.arange(64).repeat(64)
        return make("FluxTransformer2DModel", FLUX), (
            rand(1, 4096, 64), rand(1, 512, 4096), rand(1, 768), t.tensor([0.5]).to(dtype), ids, t.zeros(512, 3), t.tensor([3.5]),
        )
    raise Absent


def forward(model, network):
    if model == "sdxl-unet":
        return lambda x, step, text, pooled, size: network(
            x, step, text, added_cond_kwargs={"text_embeds": pooled, "time_ids": size}, return_dict=False,
        )[0]
    if model == "sd15-vae-decode":
        return lambda z: network.decode(z, return_dict=False)[0]
    if model == "flux-blocks":
        return lambda x, text, pooled, time, ids, text_ids, guidance: network(
            x, text, pooled, time, ids, text_ids, guidance, return_dict=False,
        )[0]
    return lambda *a: network(*a, return_dict=False)[0]


def torch_pass(model, kind, sdnq):
    t = torch()
    emulated = sdnq and not native_bf16()
    network, inputs = build(model, t.float32 if kind == "f32" or emulated else t.bfloat16)
    if sdnq:
        if model == "sd15-vae-decode":
            raise Absent  # sdnq's pipelines leave it as it is
        network = quantize_sdnq(network, "unet" in model)
    elif "flux" not in model:
        network = network.to(memory_format=t.channels_last)
    run = forward(model, network)
    return lambda: run(*inputs)


def prepare(model, cache):
    """OpenVINO's float32 network and the int8 one that NNCF makes of it by static quantization."""
    import numpy as np
    import openvino as ov

    plain, quantized = cache / f"{model}-f32.xml", cache / f"{model}-int8.xml"
    t = torch()
    rng = np.random.default_rng(1)
    if not plain.exists():
        network, inputs = build(model, t.float32)

        class Positional(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.network, self.run = network, forward(model, network)

            def forward(self, *a):
                return self.run(*a)

        converted = ov.convert_model(Positional(), example_input=inputs, input=[list(i.shape) for i in inputs])
        ov.save_model(converted, plain, compress_to_fp16=False)
        np.savez(cache / f"{model}.npz", *[i.numpy() for i in inputs])
        del network, converted, inputs
    if not quantized.exists():
        import nncf

        arrays = list(np.load(cache / f"{model}.npz").values())
        samples = [[a if a.size < 16 else rng.standard_normal(a.shape).astype(np.float32) for a in arrays] for _ in range(1)]
        options = {} if "vae" in model else {"model_type": nncf.ModelType.TRANSFORMER}
        made = nncf.quantize(ov.Core().read_model(plain), nncf.Dataset(samples), subset_size=1, **options)
        ov.save_model(made, quantized, compress_to_fp16=False)


def openvino_pass(model, kind, cache):
    import numpy as np
    import openvino as ov

    if model == "sdxl-unet":
        raise Absent  # quantizing its 10 GB of float32 takes more memory than most machines have
    file = cache / f"{model}-{'int8' if kind == 'int8' else 'f32'}.xml"
    if not file.exists():
        raise FileNotFoundError(f"{file}: preparing it failed")
    # what is not quantized: bfloat16 where the processor has it, as OpenVINO does by itself
    request = openvino(ov.Core().read_model(file), "f32" if kind == "f32" else "bf16")
    request.infer(list(np.load(cache / f"{model}.npz").values()))
    return lambda: request.infer(share_inputs=True)


def prefixed(file, prefix):
    """Gives the names the prefix that files of transformers before 5 have, without which sd.cpp does not know the model."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    save_file({name if name.startswith(prefix) else prefix + name: t.clone() for name, t in tensors.items()}, file)


def checkpoint(cache):
    """A folder in diffusers' layout with everything that sd.cpp wants of Stable Diffusion 1.5."""
    folder = cache / "sd15"
    if not (folder / "vae").exists():
        import transformers

        t = torch()
        config = transformers.CLIPTextConfig(
            hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, vocab_size=49408, hidden_act="quick_gelu",
        )
        with t.device("meta"):
            text = transformers.CLIPTextModel(config).half()
        fill(text).save_pretrained(folder / "text_encoder")
        prefixed(folder / "text_encoder/model.safetensors", "text_model.")
        build("sd15-unet", t.float16)[0].save_pretrained(folder / "unet")
        build("sd15-vae-decode", t.float16)[0].save_pretrained(folder / "vae")
    return folder


def sd_cpp(runs, cache):
    """One step with guidance and one decoding, timed by sd.cpp's own log; both have the peak of the whole process."""
    import os

    from stable_diffusion_cpp import StableDiffusion

    log = tempfile.TemporaryFile("w+")
    err = os.dup(2)
    os.dup2(log.fileno(), 2)
    pipeline = StableDiffusion(model_path=str(checkpoint(cache)), wtype="q8_0", n_threads=threads(), vae_decode_only=True, verbose=True)
    for _ in range(runs):
        pipeline.generate_image("a lovely cat", width=512, height=512, cfg_scale=7, sample_steps=1, seed=1)
    os.dup2(err, 2)
    log.seek(0)
    text = log.read()
    result = {}
    for model, what in (("sd15-unet", "sampling"), ("sd15-vae-decode", "decode_first_stage")):
        if times := re.findall(what + r" completed, taking ([\d.]+)s", text):
            result[model] = [min(map(float, times)), peak_mb()]
    return result


def main():
    if sys.argv[1] == "prepare":
        what, model, cache = sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
        cache.mkdir(parents=True, exist_ok=True)
        checkpoint(cache) if what == "ggml" else prepare(model, cache)
        report({})
    peer, model, runs, cache = sys.argv[1], sys.argv[2], int(sys.argv[3]), pathlib.Path(sys.argv[4])
    family, kind = peer.split()[0], peer.split()[-1]
    try:
        if family == "ggml":
            if model != "sd15-unet":
                raise Absent
            report(sd_cpp(runs, cache))
        if family == "OpenVINO":
            run = openvino_pass(model, kind, cache)
        else:
            run = torch_pass(model, "f32" if kind == "f32" else "bf16", family == "sdnq")
        run()  # fills caches, compiles
        reset_peak()
        seconds = best(run, 0, runs)
        report({model: [seconds, peak_mb()]})
    except Absent:
        report({})


if __name__ == "__main__":
    main()
