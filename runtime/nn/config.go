package nn

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"graphrun/runtime/device"
)

// ConfigError is a value of a config.json that a family cannot follow: refusing it is better than another picture.
type ConfigError struct {
	Key   string
	Value any
	Need  string
}

func (e *ConfigError) Error() string {
	v, err := json.Marshal(e.Value)
	if err != nil {
		v = []byte(fmt.Sprint(e.Value))
	}
	return fmt.Sprintf("%s = %s is not supported, need %s", e.Key, v, e.Need)
}

// ParseConfig decodes config.json into f; a value of the wrong kind is a *ConfigError.
func ParseConfig(data []byte, f any) error {
	err := json.Unmarshal(data, f)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && kind.Field != "" {
		return &ConfigError{Key: strings.TrimPrefix(kind.Field, "."), Value: kind.Value, Need: kind.Type.String()}
	}
	return err
}

// activations by the names of diffusers and transformers.
var activations = map[string]device.Activation{
	"silu": device.SiLU, "swish": device.SiLU, "gelu": device.GELU, "gelu_new": device.GELUTanh, "gelu_pytorch_tanh": device.GELUTanh, "quick_gelu": device.QuickGELU,
}

// ParseActivation finds the function that a config's key names.
func ParseActivation(key, name string) (device.Activation, error) {
	if a, ok := activations[name]; ok {
		return a, nil
	}
	return 0, &ConfigError{Key: key, Value: name, Need: strings.Join(slices.Sorted(maps.Keys(activations)), ", ")}
}
