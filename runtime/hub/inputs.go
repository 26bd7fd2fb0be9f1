package hub

import (
	"path/filepath"
	"strings"
)

// modelInputs says from which folder of models an input of ComfyUI's loaders names a file, by class and input.
var modelInputs = map[string]string{
	"CheckpointLoaderSimple.ckpt_name": "checkpoints", "CheckpointLoader.ckpt_name": "checkpoints", "unCLIPCheckpointLoader.ckpt_name": "checkpoints",
	"ImageOnlyCheckpointLoader.ckpt_name": "checkpoints", "CreateHookModelAsLora.ckpt_name": "checkpoints", "CreateHookModelAsLoraModelOnly.ckpt_name": "checkpoints",
	"CheckpointLoader.config_name": "configs",
	"VAELoader.vae_name":           "vae",
	"LoraLoader.lora_name":         "loras", "LoraLoaderModelOnly.lora_name": "loras", "LoraLoaderBypass.lora_name": "loras", "LoraLoaderBypassModelOnly.lora_name": "loras",
	"CreateHookLora.lora_name": "loras", "CreateHookLoraModelOnly.lora_name": "loras", "TrainLoraNode.existing_lora": "loras",
	"CLIPLoader.clip_name": "text_encoders", "DualCLIPLoader.clip_name1": "text_encoders", "DualCLIPLoader.clip_name2": "text_encoders",
	"TripleCLIPLoader.clip_name1": "text_encoders", "TripleCLIPLoader.clip_name2": "text_encoders", "TripleCLIPLoader.clip_name3": "text_encoders",
	"QuadrupleCLIPLoader.clip_name1": "text_encoders", "QuadrupleCLIPLoader.clip_name2": "text_encoders", "QuadrupleCLIPLoader.clip_name3": "text_encoders",
	"QuadrupleCLIPLoader.clip_name4":    "text_encoders",
	"UNETLoader.unet_name":              "diffusion_models",
	"ControlNetLoader.control_net_name": "controlnet", "DiffControlNetLoader.control_net_name": "controlnet",
	"StyleModelLoader.style_model_name": "style_models", "CLIPVisionLoader.clip_name": "clip_vision", "GLIGENLoader.gligen_name": "gligen",
	"HypernetworkLoader.hypernetwork_name": "hypernetworks", "UpscaleModelLoader.model_name": "upscale_models", "LatentUpscaleModelLoader.model_name": "latent_upscale_models",
	"PhotoMakerLoader.photomaker_model_name": "photomaker", "ModelPatchLoader.name": "model_patches", "AudioEncoderLoader.audio_encoder_name": "audio_encoders",
	"DiffusersLoader.model_path": "diffusers", "SDNQModelLoader.model_path": "diffusers", "SDNQQuantize.model_path": "diffusers", "SDNQModelInfo.model_path": "diffusers",
}

// builtIn are values of such inputs that name no file.
var builtIn = []string{"taesd", "taesdxl", "taesd3", "taef1", "pixel_space", "[None]", "None"}

// ModelInput is the folder of models from which a node's input names a file, or, of "diffusers", a model folder that
// Resolve finds; false where the input names none.
func ModelInput(class, input, value string) (kind string, ok bool) {
	kind, ok = modelInputs[class+"."+input]
	if strings.HasSuffix(value, ".safetensors") && (class == "SDNQQuantize" || class == "SDNQModelInfo") { // a file: of the checkpoints, or by its path
		kind, ok = "checkpoints", ok && filepath.IsLocal(filepath.FromSlash(value))
	}
	for _, name := range builtIn {
		ok = ok && value != name
	}
	return kind, ok && strings.TrimSpace(value) != ""
}
