# b2c-runner. Needed: Go, a Debian or Ubuntu, and root (or sudo) for apt-get only.
# What each target needs is installed by it.

PAYLOAD  := build/payload
ARCH     := amd64
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null)
SUDO     := $(if $(filter 0,$(shell id -u)),,sudo)

# The virtual board and its payload.
DEMO_PACKAGES := qemu-system-x86 ipxe-qemu zstd cpio binutils xz-utils
# The real counterparts that the tests talk to.
TEST_PACKAGES := $(DEMO_PACKAGES) atftp busybox chromium conserver-client conserver-server curl \
	dhcpcd-base dnsmasq-base fonts-dejavu-core iproute2 isc-dhcp-client libcap2-bin ndisc6 nftables \
	openssh-client openssh-server procps python3-pexpect ser2net skopeo socat tftp-hpa util-linux

.PHONY: build demo test bench lint clean payload demo-packages test-packages

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o build/b2c-runner ./cmd/b2c-runner

# Runs the main job on a virtual board.
demo: build payload
	build/b2c-runner run jobs/busybox-qemu.yaml

test: lint payload test-packages
	go test -race -timeout 40m ./...

# Prints ratios to what others do, measured in the same run. Takes a quarter of an hour.
bench: payload test-packages
	go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./console/... ./runner ./cmd/b2c-runner

lint:
	@fmt=$$(gofmt -l .); if [ -n "$$fmt" ]; then echo "gofmt would change:"; echo "$$fmt"; exit 1; fi
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

clean:
	rm -rf build out

# The virtual board's kernel, initramfs and container image, from Debian packages.
payload: demo-packages
	boards/virtual/payload/build.sh $(ARCH) $(PAYLOAD)

demo-packages:
	@$(call install,$(DEMO_PACKAGES))

test-packages:
	@$(call install,$(TEST_PACKAGES))

define install
set -e; missing=; \
for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
if [ -n "$$missing" ]; then \
	echo "installing$$missing"; $(SUDO) apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -qq -y --no-install-recommends $$missing; \
fi
endef
