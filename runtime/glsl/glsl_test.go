package glsl

import (
	"errors"
	"math"
	"strings"
	"testing"
)

const head = "#version 300 es\nprecision highp float;\nin vec2 v_texCoord;\nlayout(location = 0) out vec4 fragColor0;\n"

// pixel runs a body for one pixel and returns its colour.
func pixel(t *testing.T, source string, uniforms map[string]any) []float32 {
	t.Helper()
	if !strings.Contains(source, "#version") {
		source = head + "void main() {\n" + source + "\n}"
	}
	p, err := Compile(source)
	if err != nil {
		t.Fatalf("%v in\n%s", err, source)
	}
	out, err := p.Run(t.Context(), 1, 1, uniforms)
	if err != nil {
		t.Fatalf("%v in\n%s", err, source)
	}
	return out[0]
}

// Each line sets fragColor0; the values follow from the specification.
func TestPixels(t *testing.T) {
	for source, want := range map[string][4]float32{
		`fragColor0 = vec4(v_texCoord, gl_FragCoord.xy);`:                                                                                                      {0.5, 0.5, 0.5, 0.5},
		`fragColor0 = vec4(1, 2.0, 3u, true);`:                                                                                                                 {1, 2, 3, 1},
		`vec3 v = vec3(1.0, 2.0, 3.0); v.zx = v.xy; v.y += 10.0; fragColor0 = vec4(v, v[1]);`:                                                                  {2, 12, 1, 12},
		`vec4 v = vec4(0.0); for (int i = 0; i < 4; i++) { if (i == 2) continue; v[i] = float(i); } fragColor0 = v;`:                                           {0, 1, 0, 3},
		`float a[3] = float[](1.0, 2.0, 4.0); float s = 0.0; for (int i = 0; i < a.length(); ++i) s += a[i]; a[1] = 9.0; fragColor0 = vec4(s, a[1], a[2], 0);`: {7, 9, 4, 0},
		`const float k[2] = float[2](0.5, 0.25); fragColor0 = vec4(k[0], k[1], 7 / 2, 7 % 4);`:                                                                 {0.5, 0.25, 3, 3},
		`int i = -7; fragColor0 = vec4(i / 2, i >> 1, i & 5, ~i);`:                                                                                             {-3, -4, 1, 6},
		`uint u = 0xffffffffu; u += 2u; fragColor0 = vec4(u, uint(3.9), 1u << 4u, 6u ^ 3u);`:                                                                   {1, 3, 16, 5},
		`mat2 m = mat2(1.0, 2.0, 3.0, 4.0); vec2 v = m * vec2(5.0, 6.0), w = vec2(5.0, 6.0) * m; fragColor0 = vec4(v, w);`:                                     {23, 34, 17, 39},
		`mat3 m = mat3(2.0); m[1][2] = 5.0; vec3 v = inverse(m) * (m * vec3(1.0, 2.0, 3.0)); fragColor0 = vec4(v, determinant(m));`:                            {1, 2, 3, 8},
		`fragColor0 = vec4(mod(-1.0, 3.0), fract(-0.25), step(0.5, 0.5), smoothstep(0.0, 2.0, 0.5));`:                                                          {2, 0.75, 1, 0.15625},
		`fragColor0 = mix(vec4(0.0), vec4(1.0, 2.0, 3.0, 4.0), 0.5);`:                                                                                          {0.5, 1, 1.5, 2},
		`fragColor0 = vec4(clamp(vec3(-1.0, 0.5, 2.0), 0.0, 1.0), length(vec2(3.0, 4.0)));`:                                                                    {0, 0.5, 1, 5},
		`fragColor0 = vec4(cross(vec3(1, 0, 0), vec3(0, 1, 0)), dot(vec2(1.0, 2.0), vec2(3.0, 4.0)));`:                                                         {0, 0, 1, 11},
		`fragColor0 = vec4(reflect(vec2(1.0, -1.0), vec2(0.0, 1.0)), normalize(vec2(0.0, 5.0)));`:                                                              {1, 1, 0, 1},
		`bool b = true; fragColor0 = vec4(b && !b, b || false, b ^^ b, any(lessThan(vec2(1.0, 5.0), vec2(2.0))) ? 1.0 : 0.0);`:                                 {0, 1, 0, 1},
		`int i = 3; int j = i++ + ++i; do { j--; } while (j > 5); fragColor0 = vec4(i, j, -i, +j);`:                                                            {5, 5, -5, 5},
		`float s = 0.0; int i = 0; while (true) { if (++i > 10) break; s += float(i); } fragColor0 = vec4(s);`:                                                 {55, 55, 55, 55},
		`int k = 2; float v = 0.0; switch (k) { case 1: v = 1.0; break; case 2: v = 2.0; case 3: v += 10.0; break; default: v = 9.0; } fragColor0 = vec4(v);`:  {12, 12, 12, 12},
		`fragColor0 = vec4(floatBitsToUint(1.0) >> 23u, intBitsToFloat(0x40000000), isnan(0.0 / 0.0), abs(-3));`:                                               {127, 2, 1, 3},
		`discard;`: {0, 0, 0, 0},
		`vec4 a = vec4(1.0); vec4 b = a; b.x = 2.0; (b.yz) = vec2(3.0); fragColor0 = a + b * 2.0 - 1.0 / vec4(2.0);`: {4.5, 6.5, 6.5, 2.5},
		`ivec2 v = ivec2(5, 6); v.x <<= 1; v %= 4; fragColor0 = vec4(v, v == ivec2(2), v != ivec2(2));`:              {2, 2, 1, 0},
		head + `
#define TWICE(x) ((x) * 2.0)
#define UNIT 1.0
#ifdef UNIT
float f(float x, inout float y) { y += x; return TWICE(x); }
#else
#error no
#endif
float f(vec2 v);
vec2 g(vec2 v) { return v.yx; }
float f(vec2 v) { if (v.x > 1.0) return 7.0; return g(v).x; }
float count = UNIT;
void main() { /* two
lines */ float y = 3.0; float r = f(1.0, y) + f(f(2.0, y), y); fragColor0 = vec4(r, y, f(vec2(0.5, 4.0)) + f(vec2(2.0)), count++); }`: {10, 10, 11, 1},
	} {
		got := pixel(t, source, nil)
		for i, w := range want {
			if math.Abs(float64(got[i]-w)) > 1e-6 {
				t.Errorf("%s\ngives %v, want %v", source, got, want)
				break
			}
		}
	}
}

func TestUniforms(t *testing.T) {
	source := head + `uniform float u_float0; uniform int u_int1; uniform bool u_bool0; uniform vec2 u_resolution; uniform float u_float9;
void main() { fragColor0 = vec4(u_float0 + u_float9, u_int1, u_bool0, u_resolution.y); }`
	got := pixel(t, source, map[string]any{"u_float0": 0.5, "u_int1": 7, "u_bool0": true, "u_resolution": []float64{4, 3}})
	if got[0] != 0.5 || got[1] != 7 || got[2] != 1 || got[3] != 3 {
		t.Error(got)
	}
}

// A texture's lower left corner is (0, 0); between pixels it is linear, beyond the edges constant.
func TestTexture(t *testing.T) {
	tex := &Texture{2, 2, []float32{0, 0, 0, 1, 1, 0, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1}} // above: 0 and 1 of red; below the same with green
	sample := func(expr string) []float32 {
		return pixel(t, head+"uniform sampler2D u_image0; vec4 at(sampler2D s, vec2 p) { return texture(s, p); }\nvoid main() { fragColor0 = "+expr+"; }", map[string]any{"u_image0": tex})
	}
	for expr, want := range map[string][4]float32{
		`texture(u_image0, vec2(0.25, 0.25))`:                                         {0, 1, 0, 1},
		`at(u_image0, vec2(0.75, 0.75))`:                                              {1, 0, 0, 1},
		`texture(u_image0, vec2(0.5))`:                                                {0.5, 0.5, 0, 1},
		`textureLod(u_image0, vec2(9.0, -9.0), 0.0)`:                                  {1, 1, 0, 1},
		`texelFetch(u_image0, ivec2(1, 0), 0)`:                                        {1, 1, 0, 1},
		`vec4(vec2(textureSize(u_image0, 0)), texture(u_image0, vec2(0.0 / 0.0)).ba)`: {2, 2, 0, 1},
	} {
		got := sample(expr)
		for i, w := range want {
			if math.Abs(float64(got[i]-w)) > 1e-6 {
				t.Errorf("%s: %v, want %v", expr, got, want)
			}
		}
	}
}

func TestOutputsAndPasses(t *testing.T) {
	p, err := Compile("#version 300 es\n#pragma passes 3\nprecision highp float; layout(location = 0) out vec4 fragColor0; layout(location = 2) out vec4 fragColor2; void main() { fragColor2 = vec4(gl_FragCoord.xy, 0.0, 1.0); }")
	if err != nil || p.Passes != 3 || p.Outputs != 3 {
		t.Fatalf("%+v %v", p, err)
	}
	out, err := p.Run(t.Context(), 2, 3, nil)
	if err != nil || len(out) != 3 || out[0][0] != 0 || out[1][0] != 0 || out[2][4] != 1.5 || out[2][5] != 2.5 {
		t.Errorf("%v %v", out, err)
	}
}

// What cannot be compiled or run is an error with its line.
func TestErrors(t *testing.T) {
	for source, want := range map[string]string{
		`x = 1.0;`:                     "line 6: x is not declared",
		`float x = 1.0`:                "line 7",
		`float x = vec2(1.0);`:         "need float, have vec2",
		`v_texCoord = vec2(0.0);`:      "cannot be assigned",
		`const int i = 1; i++;`:        "cannot be assigned",
		`fragColor0 = vec4(1.0, 2.0);`: "needs 4 values",
		`fragColor0.xx = vec2(1.0);`:   "cannot be assigned",
		`fragColor0 = vec3(1.0).xyzw;`: ".xyzw of vec3",
		`float f = dFdx(1.0);`:         "no function dFdx(float)",
		`if (1) discard;`:              "must be a bool",
		`samplerCube s;`:               "samplerCube",
		`struct A { float x; };`:       "struct",
		`float x; float x;`:            "declared twice",
		`while (true) {}`:              "a loop does not end",
		`for (;;) for (;;) {}`:         "a loop does not end",
		`float a[0];`:                  "constant above 0",
		`@`:                            "unexpected character",
		`fragColor0 = vec4(0.0); } void f() { g(); } void g() {`: "no function g",
		`} float f(float x) { return f(x); } void h() {`:         "calls itself",
		`} float f(float x); void h() { f(1.0);`:                 "not defined",
		strings.Repeat("(", 1000):                                "nested too deeply",
		strings.Repeat("{", 1000):                                "nested too deeply",
		"\n#if 1\n":                                              "#if without #endif",
		"\n#define A B B B B B B B B B B B B B B B B\n#define B C C C C C C C C C C C C C C C C C\n#define C D D D D D D D D D D D D D D\n#define D E E E E E E E E E E E E E E E E\n#define E x x x x x x x x x x x x x x x x\nA": "too long",
	} {
		p, err := Compile(head + "void main() {\n" + source + "\n}")
		if err == nil {
			_, err = p.Run(t.Context(), 1, 1, nil)
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", source, err, want)
		}
	}
	if _, err := Compile(head); err == nil {
		t.Error("no main passes")
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(head + "uniform sampler2D u_image0; float f(inout vec2 v) { v.yx += 1.0; return v[1]; } void main() { vec2 v = vec2(2); fragColor0 = texture(u_image0, v_texCoord) * f(v); }")
	f.Add("void main() { mat3 m = mat3(1.0); for (int i = 0; i < 3; i++) m[i][2 - i] = float(i) / 0.0; int a[2] = int[](1, 2); a[1 + a[0]]++; }")
	f.Add("#define F(x) (x)\n#pragma passes 2\nout vec4 fragColor3; void main() { switch (F(1)) { case 1: fragColor3.x = ~1 > 2 ? 1.0 : pow(2.0, .5); default: discard; } }")
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 1000 {
			t.Skip()
		}
		p, err := Compile(source)
		if err != nil || p.size > 1<<12 {
			return
		}
		_, _ = p.Run(t.Context(), 2, 2, nil)
	})
}
