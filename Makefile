# b2c-runner. Needed: Go, a Debian or Ubuntu, and root (or sudo) for apt-get only.
# What each target needs is installed by it.

PAYLOAD  := build/payload
ARCH     := amd64
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null)

# The virtual board and its payload.
DEMO_PACKAGES := qemu-system-x86 ipxe-qemu zstd cpio binutils xz-utils
# The real counterparts that the tests talk to.
TEST_PACKAGES := $(DEMO_PACKAGES) atftp busybox-static chromium conserver-client conserver-server curl \
	dhcpcd-base dnsmasq-base fonts-dejavu-core gcc iproute2 isc-dhcp-client libc6-dev libcap2-bin \
	mosquitto ndisc6 nftables openipmi openssh-client openssh-server pdudaemon procps python3-pexpect \
	ser2net skopeo snmpd socat tftp-hpa uhubctl util-linux

.PHONY: build demo test bench lint clean payload demo-packages test-packages

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o build/b2c-runner ./cmd/b2c-runner

# Runs the main job on a virtual board.
demo: build payload
	build/b2c-runner run jobs/busybox-qemu.yaml

test: lint payload test-packages
	-power/testdata/usbguest.sh build/usbguest
	CGO_ENABLED=1 go test -race -timeout 40m ./...

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
	@.ci/install-packages $(DEMO_PACKAGES)

test-packages:
	@.ci/install-packages $(TEST_PACKAGES)
