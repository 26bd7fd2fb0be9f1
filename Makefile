# The few commands a day needs. Everything that CI does is in .ci/run; `.ci/run vet fuzz` runs only those steps.
.PHONY: build test fmt ci

build:
	CGO_ENABLED=0 go build -trimpath -o graphrun ./cmd/graphrun

test:
	go test ./...

fmt:
	go run mvdan.cc/gofumpt@v0.12.0 -l -w .

ci:
	bash .ci/run
