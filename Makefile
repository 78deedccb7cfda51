# SPDX-License-Identifier: MIT
# The two commands of the README, and what they stand on. Meson builds; this only calls it.

BUILD ?= build
CC ?= gcc

.PHONY: all build demo test test-nested bench install clean

all: build

build:
	@tools/setup.sh build
	@[ -e $(BUILD)/build.ninja ] || meson setup $(BUILD) --prefix=/usr/local --buildtype=release >/dev/null
	@ninja --quiet -C $(BUILD)

# A real session: image, registry, push, pull, run, exec, logs, stop.
demo:
	@tools/demo.sh

# Unit, fuzz-smoke and end-to-end tests; ends with "N passed, N failed, N skipped".
test:
	@tests/run.sh

# Under a real KVM, whatever this host has: inside an emulated machine, as root.
test-nested:
	@tests/run.sh nested

bench:
	@tools/setup.sh build run image demo bench
	@bench/run

install: build
	@meson install -C $(BUILD)

clean:
	@rm -rf $(BUILD)
