package sdnq

import (
	"fmt"
	"testing"

	"graphrun/kernels/cpu"
	"graphrun/runtime/device"
	"graphrun/runtime/device/devicetest"
)

// Quantized weights of every layout are multiplied as devices multiply any weights, in each arithmetic.
func TestDevice(t *testing.T) {
	one, three := cpu.NewPool(1), cpu.NewPool(3)
	defer one.Close()
	defer three.Close()
	var list []devicetest.Case
	for _, text := range []string{
		`"weights_dtype":"int8"`,
		`"weights_dtype":"int8","use_quantized_matmul":true`,
		`"weights_dtype":"uint8","use_quantized_matmul":true,"quantized_matmul_dtype":"int8"`,
		`"weights_dtype":"int8","group_size":16,"use_quantized_matmul":true`,
		`"weights_dtype":"int5","group_size":-1,"use_quantized_matmul":true`,
		`"weights_dtype":"uint4","group_size":16`,
		`"weights_dtype":"uint3","group_size":-2`,
		`"weights_dtype":"int16"`,
	} {
		cfg, err := ParseConfig([]byte(`{"quant_method":"sdnq",` + text + `}`))
		if err != nil {
			t.Fatal(err)
		}
		m := quantizedLayer(t, cfg, 48, 64)
		for _, rows := range []int{1, 3, 5, 33} {
			list = append(list, devicetest.Products(false, devicetest.FromWeights(text, m), rows)...)
		}
		small := quantizedLayer(t, cfg, 16, 16) // too small for the quantized matmul: there are no codes
		list = append(list, devicetest.Products(false, devicetest.FromWeights(fmt.Sprint(text, ", small"), small), 7)...)
	}
	devicetest.Run(t, list, device.NewCPU(one, false), device.NewCPU(three, false))
}
