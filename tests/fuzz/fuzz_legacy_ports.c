/* SPDX-License-Identifier: MIT */
/* fuzz_legacy_ports.c - a series of accesses to I/O ports, the serial port's among them */
#include "fuzz_input.h"

#include "legacy_ports.h"
#include "serial_16550.h"
#include "x86_layout.h"

/* What was saved loads, and is the same again; anything else is refused or is a state. */
static void save_and_load(struct serial_16550 *s, const uint8_t *raw, size_t len)
{
	struct err e = { 0 };
	auto_buf b = { 0 }, again = { 0 };
	struct state_out out = { .b = &b };
	struct state_in in = { .p = raw, .left = len };

	if (serial_load(s, &in, &e) < 0)
		MUST(e.msg[0]);
	serial_save(s, &out);
	in = (struct state_in){ .p = (const uint8_t *)b.data, .left = b.len };
	MUST(!out.has_failed && serial_load(s, &in, &e) == 0 && in.left == 0);
	out.b = &again;
	serial_save(s, &out);
	MUST(again.len == b.len && memcmp(again.data, b.data, b.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct serial_16550 s;

	serial_init(&s, -1, -1);
	for (; len >= 8; data += 8, len -= 8) {
		/* three kinds in four are of the serial port */
		uint16_t port = (uint16_t)(data[0] & 3 ? X86_COM1_PORT + data[1] % 8
						       : data[1] | data[2] << 8);
		uint32_t n = data[3] % 5;
		uint8_t got[5] = { 0x77, 0x77, 0x77, 0x77, 0x77 };

		MUST(legacy_port_write(&s, port, data + 4, n) == PORT_NOTHING || n == 1);
		legacy_port_read(&s, port, got, n);
		MUST(got[n] == 0x77);
	}
	save_and_load(&s, data, len);
	return 0;
}
