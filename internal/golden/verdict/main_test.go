package main

import (
	"io"
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	const pass = `{"Action":"pass","Package":"p","Test":"TestGoldenA"}` + "\n"
	for name, c := range map[string]struct {
		events string
		holds  bool
	}{
		"a pass":          {pass, true},
		"later":           {pass + `{"Action":"output","Package":"p","Test":"TestGoldenB","Output":"LoRA is later"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestGoldenB"}`, true},
		"no tests":        {`{"Action":"skip","Package":"p"}`, false},
		"only later":      {`{"Action":"output","Package":"p","Test":"TestGoldenB","Output":"LoRA is later"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestGoldenB"}`, false},
		"another reason":  {pass + `{"Action":"output","Package":"p","Test":"TestGoldenB","Output":"no GPU"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestGoldenB"}`, false},
		"another's leave": {pass + `{"Action":"output","Package":"p","Test":"TestGoldenA","Output":"LoRA is later"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestGoldenB"}`, false},
		"a failure":       {pass + `{"Action":"fail","Package":"p","Test":"TestGoldenB"}`, false},
		"a broken build":  {pass + `{"Action":"fail","Package":"q"}`, false},
		"not events":      {pass + "panic", false},
	} {
		if err := judge(strings.NewReader(c.events), io.Discard, []string{"LoRA is later"}); (err == nil) != c.holds {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJudgePrintsPackages(t *testing.T) {
	events := `{"Action":"pass","Package":"p","Test":"TestGoldenA"}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}
{"Action":"output","Package":"q","Output":"ok  \tq\t0.1s [no tests to run]\n"}`
	var out strings.Builder
	if err := judge(strings.NewReader(events), &out, nil); err != nil || !strings.Contains(out.String(), "ok  \tp\t0.1s\n") || strings.Contains(out.String(), "\tq\t") {
		t.Errorf("%v, printed %q", err, out.String())
	}
}
