# The few commands a day needs. Everything that CI does is in .ci/run; `.ci/run vet fuzz` runs only those steps.
.PHONY: hftokenizers editor build test fmt ci crosscheck

build:
	CGO_ENABLED=0 go build -trimpath -o graphrun ./cmd/graphrun

test:
	go test ./...

fmt:
	go run mvdan.cc/gofumpt@v0.12.0 -l -w .

ci:
	bash .ci/run

# The editor, which the binary embeds: needs Node.js and npm. What it writes to frontend/editor/dist is committed.
editor:
	cd frontend/editor && npm ci --no-audit --no-fund && npm run build

# The Rust twin of the tokenizers, for the tests behind the tag hftokenizers; needs cargo and some minutes.
hftokenizers:
	bash tools/hftokenizers/build.sh build/hftokenizers
	CGO_ENABLED=1 CGO_LDFLAGS="-L$(CURDIR)/build/hftokenizers" go test -tags hftokenizers -run TestParity ./runtime/text

# Holds the quantizer to the Python package sdnq 0.2.8, both ways, over every dtype and option, and renews the hashes that tests
# hold it to: SDNQ_PYTHON=PYTHON, or an environment is made in the cache folder (some gigabytes). Takes ten minutes.
crosscheck:
	sh tools/sdnqcheck/run.sh build/crosscheck
